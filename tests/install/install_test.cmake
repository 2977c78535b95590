# cmake -DBUILD=... -DEXAMPLE=... -DWORK=... -DGENERATOR=... -P install_test.cmake
# Installs viewfold into a folder of its own, builds a program against that with find_package(viewfold),
# and runs both: the installed program trains an encoder, the other one embeds images with it.

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE said ERROR_VARIABLE said)
  set(said "${said}" PARENT_SCOPE)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${ARGN}\nended with ${result}:\n${said}")
  endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}/pictures")
run("${CMAKE_COMMAND}" --install "${BUILD}" --prefix "${WORK}/prefix")
run("${CMAKE_COMMAND}" -S "${EXAMPLE}" -B "${WORK}/build" -G "${GENERATOR}" -DCMAKE_BUILD_TYPE=Release
    "-DCMAKE_PREFIX_PATH=${WORK}/prefix")
run("${CMAKE_COMMAND}" --build "${WORK}/build")
set(program "${WORK}/prefix/bin/viewfold")
run("${program}" views fashion-mnist --out "${WORK}/pictures/one.png")
file(COPY_FILE "${WORK}/pictures/one.png" "${WORK}/pictures/two.png")
run("${program}" pretrain fashion-mnist --limit 128 --epochs 1 --batch 32 --encoder.width 4
    --out "${WORK}/run")
run("${WORK}/build/embed_folder" "${WORK}/run" "${WORK}/pictures")
if(NOT said MATCHES "one.png( [-0-9.e]+)+\n.*two.png( [-0-9.e]+)+\n$")
  message(FATAL_ERROR "the features of two pictures were expected, not\n${said}")
endif()
message(STATUS "installed, linked and run")
