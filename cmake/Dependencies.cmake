# Every third-party library as one imported target. Nothing is downloaded here: deploy/install.sh
# has done it.
if(NOT EXISTS ${MENTOR_WHEELS}/torch)
  message(FATAL_ERROR "${MENTOR_WHEELS}/torch is missing: run deploy/install.sh first")
endif()

find_package(Threads REQUIRED)
find_package(Protobuf 3.21 REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)
find_package(prometheus-cpp CONFIG REQUIRED)
find_package(SQLite3 REQUIRED)
set(PostgreSQL_ADDITIONAL_VERSIONS 15 14 16 17)
find_package(PostgreSQL REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(CURL 7.85 REQUIRED)
find_package(pugixml CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_package(Eigen3 3.4 CONFIG REQUIRED)
find_package(Catch2 2 CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
# Draws the charts of reports.
find_file(MENTOR_CHART_JS chart.min.js PATHS /usr/share/javascript/chart.js
  NO_DEFAULT_PATH REQUIRED)
include(EmbedFiles)
include(MentorTorch)
include(MuJoCo)

# ccache and mold are used when they are there.
find_program(MENTOR_CCACHE ccache)
if(MENTOR_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${MENTOR_CCACHE})
endif()
find_program(MENTOR_MOLD mold)
if(MENTOR_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
