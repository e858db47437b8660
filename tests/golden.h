// Reads golden files: {"doc", "dtype", "tolerance": {"abs", "rel"}, "cases": [...]}; a tensor is
// {"shape", "data"}. MENTOR_GOLDEN_DIR replaces the folder of the committed copies.
#pragma once

#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "tests/paths.h"
#include "tests/torch_testing.h"

namespace mentor::testing {

using Json = nlohmann::json;

inline std::filesystem::path GoldenDir() {
  const char* dir = std::getenv("MENTOR_GOLDEN_DIR");
  return dir ? dir : SourcePath("tests/data/golden");
}

inline Json ReadGolden(const std::string& name) {
  const std::filesystem::path path = GoldenDir() / (name + ".json");
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return Json::parse(file);
}

inline torch::Tensor ToTensor(const Json& json, torch::Dtype dtype = torch::kFloat64) {
  if (json.is_number()) return torch::full({}, json.get<double>(), torch::kFloat64).to(dtype);
  const auto shape = json.at("shape").get<std::vector<int64_t>>();
  auto data = json.at("data").get<std::vector<double>>();
  return torch::from_blob(data.data(), shape, torch::kFloat64).clone().to(dtype);
}

inline Tolerance GoldenTolerance(const Json& file) {
  return {.rel = file.at("tolerance").at("rel"), .abs = file.at("tolerance").at("abs")};
}

// Checks every element and prints the worst one.
inline void CheckNear(const std::string& what, const torch::Tensor& got, const torch::Tensor& want,
                      Tolerance tolerance) {
  INFO(what);
  REQUIRE(got.sizes().vec() == want.sizes().vec());
  if (want.numel() == 0) return;
  const auto g = got.to(torch::kFloat64).reshape({-1}), w = want.to(torch::kFloat64).reshape({-1});
  const auto excess = (g - w).abs() - ToleranceScale() * (tolerance.abs + tolerance.rel * w.abs());
  const int64_t worst = excess.argmax().item<int64_t>();
  INFO("element " << worst << ": got " << g[worst].item<double>() << ", want "
                  << w[worst].item<double>());
  CHECK(excess.max().item<double>() <= 0);
  CHECK(g.isfinite().all().item<bool>());
}

}  // namespace mentor::testing
