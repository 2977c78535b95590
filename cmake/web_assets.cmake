# The pages, style, script and chart library of the report as a generated C++ file, which
# web_asset_sources receives. The library comes from npm once, into web/node_modules, which all build
# folders share; after that no step needs the network.

find_program(VIEWFOLD_NPM npm)
find_program(VIEWFOLD_NODE NAMES node nodejs)
if(NOT VIEWFOLD_NPM OR NOT VIEWFOLD_NODE)
  message(FATAL_ERROR
    "npm and node are needed to build the charts of the report. Install them with "
    "tools/install_packages.sh, or with `apt-get install npm`, then configure again.")
endif()

set(web_dir "${PROJECT_SOURCE_DIR}/web")
set(web_pages "${PROJECT_SOURCE_DIR}/src/viewfold/report/web")
set(web_out "${PROJECT_BINARY_DIR}/web")
set(web_asset_sources "${web_out}/web_assets.gen.cpp")

add_custom_command(
  OUTPUT "${web_out}/charts.js" "${web_out}/licences.txt"
  COMMAND "${CMAKE_COMMAND}" "-DNPM=${VIEWFOLD_NPM}" "-DNODE=${VIEWFOLD_NODE}" "-DWEB_DIR=${web_dir}"
          "-DOUT_DIR=${web_out}" -P "${PROJECT_SOURCE_DIR}/cmake/bundle_charts.cmake"
  DEPENDS "${web_dir}/package-lock.json" "${web_dir}/charts.js"
          "${PROJECT_SOURCE_DIR}/cmake/bundle_charts.cmake"
  COMMENT "Bundling the charts of the report" VERBATIM)

set(web_assets "page=${web_pages}/report.html" "style=${web_pages}/report.css"
               "script=${web_pages}/report.js" "charts=${web_out}/charts.js"
               "licences=${web_out}/licences.txt" "views_page=${web_pages}/views.html"
               "views_style=${web_pages}/views.css" "study_page=${web_pages}/study.html"
               "study_style=${web_pages}/study.css" "compare_page=${web_pages}/compare.html"
               "compare_style=${web_pages}/compare.css")
list(JOIN web_assets "|" web_assets)
add_custom_command(
  OUTPUT "${web_asset_sources}"
  COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${web_asset_sources}" "-DASSETS=${web_assets}"
          -P "${PROJECT_SOURCE_DIR}/cmake/embed_text.cmake"
  DEPENDS "${web_pages}/report.html" "${web_pages}/report.css" "${web_pages}/report.js"
          "${web_pages}/views.html" "${web_pages}/views.css" "${web_pages}/study.html"
          "${web_pages}/study.css" "${web_pages}/compare.html" "${web_pages}/compare.css"
          "${web_out}/charts.js" "${web_out}/licences.txt"
          "${PROJECT_SOURCE_DIR}/cmake/embed_text.cmake"
  COMMENT "Embedding the pages" VERBATIM)
