message(STATUS "Mentor ${PROJECT_VERSION}: ${CMAKE_BUILD_TYPE}, ${MENTOR_ARCH}, "
  "kernels for GPUs ${MENTOR_KERNELS}, sanitizers '${MENTOR_SANITIZE}'")
message(STATUS "  LibTorch ${MENTOR_TORCH_VERSION}, MuJoCo ${MENTOR_MUJOCO_VERSION}, "
  "gRPC ${gRPC_VERSION}, protobuf ${Protobuf_VERSION}, Abseil ${absl_VERSION}, "
  "prometheus-cpp ${prometheus-cpp_VERSION}, nlohmann-json ${nlohmann_json_VERSION}, "
  "SQLite ${SQLite3_VERSION}, "
  "CLI11 ${CLI11_VERSION}, Eigen ${Eigen3_VERSION}, Catch2 ${Catch2_VERSION}")
if(MENTOR_KERNELS)
  message(STATUS "  nvcc ${CMAKE_CUDA_COMPILER_VERSION} for ${CMAKE_CUDA_ARCHITECTURES}")
endif()
