# Kernels for GPUs, in every build that finds NVIDIA's compiler in MENTOR_NVCC. The build uses no
# toolkit of the system. mentor::cudart is the runtime that LibTorch loads, so both share the state
# of a device. Builds by clang and with sanitizers have no kernels.
set(MENTOR_CUDA_ARCHS "80;90;100" CACHE STRING
  "Generations of GPUs that get code of their own; later ones compile the last one's PTX")

set(nvcc_root ${MENTOR_NVCC}/nvidia/cu13)
set(MENTOR_KERNELS OFF)
if(NOT EXISTS ${nvcc_root}/bin/nvcc OR NOT CMAKE_CXX_COMPILER_ID STREQUAL GNU OR MENTOR_SANITIZE)
  return()
endif()
set(MENTOR_KERNELS ON)
set(CMAKE_CUDA_COMPILER ${nvcc_root}/bin/nvcc)
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
set(CMAKE_CUDA_ARCHITECTURES ${MENTOR_CUDA_ARCHS})
list(TRANSFORM CMAKE_CUDA_ARCHITECTURES APPEND "-real")
list(GET MENTOR_CUDA_ARCHS -1 last)
list(APPEND CMAKE_CUDA_ARCHITECTURES ${last}-virtual)
set(CMAKE_CUDA_RUNTIME_LIBRARY None)
enable_language(CUDA)
# CMake 3.25 does not know that nvcc supports C++20.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_EXTENSIONS OFF)

set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
  ${CMAKE_SOURCE_DIR}/cmake/device_flags.txt)
file(STRINGS ${CMAKE_SOURCE_DIR}/cmake/device_flags.txt MENTOR_DEVICE_FLAGS REGEX "^-")

add_library(mentor_cudart SHARED IMPORTED GLOBAL)
set_target_properties(mentor_cudart PROPERTIES
  IMPORTED_LOCATION ${MENTOR_WHEELS}/nvidia/cu13/lib/libcudart.so.13)
target_include_directories(mentor_cudart SYSTEM INTERFACE ${nvcc_root}/include)
add_library(mentor::cudart ALIAS mentor_cudart)
