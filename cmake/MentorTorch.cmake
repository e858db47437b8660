# mentor::torch: the LibTorch inside the PyPI wheel, on machines with or without a CUDA toolkit. The
# wheel bundles protobuf 3.13 headers. A folder with one link to the system's google/ therefore
# precedes them.
set(torch_root ${MENTOR_WHEELS}/torch)
file(STRINGS ${torch_root}/version.py torch_version_line REGEX "^__version__")
string(REGEX REPLACE ".*'([^']+)'.*" "\\1" MENTOR_TORCH_VERSION "${torch_version_line}")
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/protobuf_first)
file(CREATE_LINK ${Protobuf_INCLUDE_DIRS}/google ${CMAKE_BINARY_DIR}/protobuf_first/google SYMBOLIC)

add_library(mentor_torch INTERFACE)
add_library(mentor::torch ALIAS mentor_torch)
target_include_directories(mentor_torch SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/protobuf_first
  ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
target_link_directories(mentor_torch INTERFACE ${torch_root}/lib)
# LibTorch's part for the CPU alone: GPUs run kernels of our own, and libtorch.so loads every CUDA
# library.
target_link_libraries(mentor_torch INTERFACE -Wl,--push-state,--no-as-needed
  torch_cpu c10 -Wl,--pop-state)
target_link_options(mentor_torch INTERFACE
  -Wl,-rpath,${torch_root}/lib
  -Wl,-rpath-link,${MENTOR_WHEELS}/nvidia/cu13/lib)
