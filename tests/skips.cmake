# cmake -DFOLDER=... -P skips.cmake
# Names the cases that were skipped in the last run, which GoogleTest counts as passed.

file(GLOB results "${FOLDER}/*.xml")
set(skipped "")
foreach(result IN LISTS results)
  file(STRINGS "${result}" cases REGEX "result=\"skipped\"")
  foreach(case IN LISTS cases)
    string(REGEX REPLACE ".*name=\"([^\"]*)\".*classname=\"([^\"]*)\".*" "\\2.\\1" name "${case}")
    list(APPEND skipped "${name}")
  endforeach()
endforeach()
if(skipped)
  list(JOIN skipped "\n  " text)
  message(STATUS "skipped cases:\n  ${text}")
endif()
