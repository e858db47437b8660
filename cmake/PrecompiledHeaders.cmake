# Slow headers (LibTorch, gRPC, Catch2) are compiled once, into four precompiled headers: with and
# without LibTorch, for tests or not. On 2 cores this makes a full build three times faster.
#
#   mentor_precompiled(TARGET torch_test)
option(MENTOR_PCH "Compile the headers of LibTorch, gRPC and Catch2 once" ON)

function(mentor_precompiled target kind)
  if(kind STREQUAL "plain")
    # These layers are part of the library of Python's module, too. No property: CMake would compile
    # programs as -fPIE then, which does not fit the header.
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  # Tests are compiled more often than run.
  if(kind MATCHES "test")
    target_compile_options(${target} PRIVATE -O0)
  endif()
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
    if(kind STREQUAL "plain")
      target_compile_options(mentor_pch_${kind} PRIVATE -fPIC)
    endif()
    if(kind MATCHES "torch")
      target_link_libraries(mentor_pch_${kind} PRIVATE mentor::torch)
    endif()
    if(kind MATCHES "test")
      target_link_libraries(mentor_pch_${kind} PRIVATE Catch2::Catch2)
      target_compile_options(mentor_pch_${kind} PRIVATE -O0)
    endif()
    # Angle brackets keep this machine's path out of the text, so that compiler caches work on other
    # machines.
    target_precompile_headers(mentor_pch_${kind} PRIVATE "<cmake/pch/${kind}.h>")
  endif()
  target_precompile_headers(${target} REUSE_FROM mentor_pch_${kind})
endfunction()
