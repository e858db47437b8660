# Slow headers (LibTorch, gRPC, Catch2) are compiled once, into four precompiled headers: with and
# without LibTorch, for tests or not. On 2 cores this makes a full build three times faster.
#
#   mentor_precompiled(TARGET torch_test)
option(MENTOR_PCH "Compile the headers of LibTorch, gRPC and Catch2 once" ON)

function(mentor_precompiled target kind)
  if(NOT MENTOR_PCH)
    return()
  endif()
  if(NOT TARGET mentor_pch_${kind})
    set(source ${CMAKE_BINARY_DIR}/pch_${kind}.cc)
    file(TOUCH ${source})
    add_library(mentor_pch_${kind} OBJECT ${source})
    target_link_libraries(mentor_pch_${kind} PRIVATE mentor_flags mentor_proto prometheus-cpp::core
      absl::statusor
      nlohmann_json::nlohmann_json)
    if(kind MATCHES "torch")
      target_link_libraries(mentor_pch_${kind} PRIVATE mentor::torch)
    endif()
    if(kind MATCHES "test")
      target_link_libraries(mentor_pch_${kind} PRIVATE Catch2::Catch2)
    endif()
    # Angle brackets keep this machine's path out of the text, so that compiler caches work on other
    # machines.
    target_precompile_headers(mentor_pch_${kind} PRIVATE "<cmake/pch/${kind}.h>")
  endif()
  target_precompile_headers(${target} REUSE_FROM mentor_pch_${kind})
endfunction()
