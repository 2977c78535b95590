# find_package(viewfold) gives viewfold::viewfold, with the LibTorch that its headers speak of.
# -DVIEWFOLD_TORCH_ROOT=DIR names a LibTorch other than the system's: it must be the one viewfold was
# built with.

set(VIEWFOLD_TORCH_ROOT "" CACHE PATH "Folder of the LibTorch that viewfold was built with")
find_path(VIEWFOLD_TORCH_INCLUDE ATen/ATen.h HINTS "${VIEWFOLD_TORCH_ROOT}/include")
find_path(VIEWFOLD_TORCH_API_INCLUDE torch/torch.h
          HINTS "${VIEWFOLD_TORCH_ROOT}/include/torch/csrc/api/include"
                "${VIEWFOLD_TORCH_INCLUDE}/torch/csrc/api/include")
find_library(VIEWFOLD_TORCH_LIBRARY torch HINTS "${VIEWFOLD_TORCH_ROOT}/lib")
find_library(VIEWFOLD_TORCH_CPU_LIBRARY torch_cpu HINTS "${VIEWFOLD_TORCH_ROOT}/lib")
find_library(VIEWFOLD_C10_LIBRARY c10 HINTS "${VIEWFOLD_TORCH_ROOT}/lib")
if(NOT VIEWFOLD_TORCH_INCLUDE OR NOT VIEWFOLD_TORCH_API_INCLUDE OR NOT VIEWFOLD_TORCH_LIBRARY
   OR NOT VIEWFOLD_TORCH_CPU_LIBRARY OR NOT VIEWFOLD_C10_LIBRARY)
  set(viewfold_FOUND FALSE)
  set(viewfold_NOT_FOUND_MESSAGE
      "LibTorch was not found: install libtorch-dev, or set VIEWFOLD_TORCH_ROOT")
  return()
endif()

include("${CMAKE_CURRENT_LIST_DIR}/viewfoldTargets.cmake")
set_property(TARGET viewfold::viewfold APPEND PROPERTY INTERFACE_SYSTEM_INCLUDE_DIRECTORIES
             "${VIEWFOLD_TORCH_INCLUDE}" "${VIEWFOLD_TORCH_API_INCLUDE}")
set_property(TARGET viewfold::viewfold APPEND PROPERTY INTERFACE_INCLUDE_DIRECTORIES
             "${VIEWFOLD_TORCH_INCLUDE}" "${VIEWFOLD_TORCH_API_INCLUDE}")
set_property(TARGET viewfold::viewfold APPEND PROPERTY INTERFACE_LINK_LIBRARIES
             "${VIEWFOLD_TORCH_LIBRARY}" "${VIEWFOLD_TORCH_CPU_LIBRARY}" "${VIEWFOLD_C10_LIBRARY}")
