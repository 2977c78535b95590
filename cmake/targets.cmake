# Flags of our own code, and the two kinds of libraries: torch-free and on LibTorch.

add_library(vf_flags INTERFACE)
if(NOT VIEWFOLD_FUZZ)  # the code is kept free of the warnings of GCC; those of clang differ
  target_compile_options(vf_flags INTERFACE -Wall -Wextra -Wconversion -Werror)
endif()
if(VIEWFOLD_SANITIZE OR VIEWFOLD_FUZZ)
  target_compile_options(vf_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                            -fno-omit-frame-pointer)
  target_link_options(vf_flags INTERFACE -fsanitize=address,undefined)
endif()
if(VIEWFOLD_FUZZ)
  target_compile_options(vf_flags INTERFACE -fsanitize=fuzzer-no-link,float-cast-overflow)
endif()
if(VIEWFOLD_TSAN)
  target_compile_options(vf_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(vf_flags INTERFACE -fsanitize=thread)
endif()
find_program(VIEWFOLD_LLD ld.lld)
if(VIEWFOLD_LLD)
  target_link_options(vf_flags INTERFACE -fuse-ld=lld)
endif()

# vf_keep_targets(LIST): removes the folders of the house plan (vf_*) that have no library yet.
function(vf_keep_targets list)
  foreach(library IN LISTS ${list})
    if(library MATCHES "^vf_" AND NOT TARGET ${library})
      list(REMOVE_ITEM ${list} ${library})
    endif()
  endforeach()
  set(${list} "${${list}}" PARENT_SCOPE)
endfunction()

# vf_library(NAME SOURCES... [TORCH] [LINK libraries...]): one folder of the house plan as a static library.
function(vf_library name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINK" ${ARGN})
  vf_keep_targets(ARG_LINK)
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} PUBLIC "${PROJECT_SOURCE_DIR}/src")
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE vf_flags)
  if(ARG_TORCH)
    target_link_libraries(${name} PUBLIC vf_torch)
    vf_use_torch_pch(${name})
  endif()
endfunction()

# vf_use_torch_pch(NAME [TEST]): the compiler accepts a precompiled header only under equal flags: programs, too, are
# compiled with -fPIC, and tests, at a lower level of optimisation, have one of their own.
function(vf_use_torch_pch name)
  cmake_parse_arguments(ARG "TEST" "" "" ${ARGN})
  get_target_property(type ${name} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${name} PRIVATE -fPIC)
  endif()
  if(ARG_TEST)
    vf_compile_as_test(${name})
    target_precompile_headers(${name} REUSE_FROM vf_torch_pch_tests)
  else()
    target_precompile_headers(${name} REUSE_FROM vf_torch_pch)
  endif()
endfunction()

# What is tested is optimised; the tests themselves compile a quarter faster so. At -O1 GCC 12 takes
# joined texts for writes beyond their ends, some lengths of a path and not others.
function(vf_compile_as_test name)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1 -Wno-array-bounds -Wno-restrict
                                         -Wno-stringop-overflow -Wno-stringop-overread>)
endfunction()

if(VIEWFOLD_LIBTORCH)
  # Torch's own CMake package drags in Caffe2 and protobuf targets that Debian does not ship whole; the
  # libraries and headers are all that is needed. -DVIEWFOLD_TORCH_ROOT=DIR takes an unpacked LibTorch
  # from elsewhere (2.x, CUDA).
  set(VIEWFOLD_TORCH_ROOT "" CACHE PATH "Folder of a LibTorch to use instead of the system's")
  find_path(VIEWFOLD_TORCH_INCLUDE ATen/ATen.h REQUIRED HINTS "${VIEWFOLD_TORCH_ROOT}/include")
  find_path(VIEWFOLD_TORCH_API_INCLUDE torch/torch.h REQUIRED
            HINTS "${VIEWFOLD_TORCH_ROOT}/include/torch/csrc/api/include"
                  "${VIEWFOLD_TORCH_INCLUDE}/torch/csrc/api/include")
  find_library(VIEWFOLD_TORCH_LIBRARY torch REQUIRED HINTS "${VIEWFOLD_TORCH_ROOT}/lib")
  find_library(VIEWFOLD_TORCH_CPU_LIBRARY torch_cpu REQUIRED HINTS "${VIEWFOLD_TORCH_ROOT}/lib")
  find_library(VIEWFOLD_C10_LIBRARY c10 REQUIRED HINTS "${VIEWFOLD_TORCH_ROOT}/lib")
  find_package(OpenMP REQUIRED)
  add_library(vf_torch INTERFACE)
  target_include_directories(vf_torch SYSTEM INTERFACE "${VIEWFOLD_TORCH_INCLUDE}"
                                                       "${VIEWFOLD_TORCH_API_INCLUDE}")
  target_link_libraries(vf_torch INTERFACE "${VIEWFOLD_TORCH_LIBRARY}" "${VIEWFOLD_TORCH_CPU_LIBRARY}"
                                           "${VIEWFOLD_C10_LIBRARY}" OpenMP::OpenMP_CXX)

  # One precompiled <torch/torch.h> for every file that includes it: 32 s once instead of 15-20 s a file.
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/torch_pch.cpp" CONTENT "// Carries the precompiled header.\n")
  foreach(name vf_torch_pch vf_torch_pch_tests)
    add_library(${name} OBJECT "${PROJECT_BINARY_DIR}/torch_pch.cpp")
    target_link_libraries(${name} PRIVATE vf_torch vf_flags)
    target_precompile_headers(${name} PRIVATE <torch/torch.h>)
  endforeach()
  vf_compile_as_test(vf_torch_pch_tests)
endif()
