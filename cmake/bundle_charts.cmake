# cmake -DNPM=... -DNODE=... -DWEB_DIR=... -DOUT_DIR=... -P bundle_charts.cmake
# Installs web/package-lock.json into web/node_modules unless exactly that is already there, then writes
# charts.js (the used parts of ECharts) and licences.txt (its notices) to OUT_DIR.

file(LOCK "${WEB_DIR}" DIRECTORY TIMEOUT 600)  # build folders share node_modules
set(modules "${WEB_DIR}/node_modules")

file(SHA256 "${WEB_DIR}/package-lock.json" wanted)
set(installed "")
if(EXISTS "${modules}/.viewfold-installed")
  file(READ "${modules}/.viewfold-installed" installed)
endif()
if(NOT installed STREQUAL wanted)
  message(STATUS "Fetching the chart library of the report (once)")
  # Install scripts are not run: nothing here needs one.
  execute_process(
    COMMAND "${NPM}" ci --ignore-scripts --no-audit --no-fund --loglevel=error
    WORKING_DIRECTORY "${WEB_DIR}" RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR
      "npm could not fetch ECharts and esbuild, which the report needs once (web/package-lock.json). "
      "Connect to the network, or point npm to a mirror (npm config set registry URL), and build "
      "again. npm said:\n${said}")
  endif()
  file(WRITE "${modules}/.viewfold-installed" "${wanted}")
endif()

file(MAKE_DIRECTORY "${OUT_DIR}")
execute_process(
  COMMAND "${NODE}" "${modules}/esbuild/bin/esbuild" "${WEB_DIR}/charts.js" --bundle --minify
          --format=iife --global-name=echarts --log-level=warning "--outfile=${OUT_DIR}/charts.js"
          "--banner:js=/*! Apache ECharts, Apache-2.0. Full notices: Licences, at the end of the page. */"
  RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "esbuild could not bundle ${WEB_DIR}/charts.js; after a change of machine, remove "
                      "${modules} and build again")
endif()

string(REPEAT "-" 80 rule)
set(licences "")
foreach(name echarts/NOTICE echarts/LICENSE echarts/licenses/LICENSE-d3 zrender/LICENSE)
  file(READ "${modules}/${name}" text)
  string(APPEND licences "${rule}\n${name}\n${rule}\n\n${text}\n")
endforeach()
file(WRITE "${OUT_DIR}/licences.txt" "${licences}")
