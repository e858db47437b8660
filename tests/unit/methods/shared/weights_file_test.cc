#include "methods/shared/weights_file.h"

#include <limits>
#include <string>
#include <vector>

#include "common/bundle_finder.h"
#include "common/file.h"
#include "common/safetensors.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::methods::TEST_FILE {

using Catch::Contains;

const agents::ParamLayout kLayout({{"a/w", {2, 3}}, {"b", {2}}});

SafeTensor Floats(const std::string& name, std::vector<int64_t> shape, std::vector<float> x) {
  return {.name = name,
          .shape = std::move(shape),
          .data = std::string(reinterpret_cast<const char*>(x.data()), x.size() * sizeof(float))};
}

std::string Refusal(const std::vector<SafeTensor>& tensors) {
  SafeTensors file;
  file.tensors = tensors;
  const auto parsed = ParseWeights(kLayout, WriteSafeTensors(file));
  CHECK(absl::IsInvalidArgument(parsed.status()));
  return std::string(parsed.status().message());
}

TEST_CASE("weights file: tensors in any order, others are left out", "[unit]") {
  SafeTensors file;
  file.tensors = {Floats("b", {2}, {7, 8}), Floats("more", {1}, {0}),
                  Floats("a/w", {2, 3}, {1, 2, 3, 4, 5, 6})};
  const auto weights = ParseWeights(kLayout, WriteSafeTensors(file));
  REQUIRE(weights.ok());
  CHECK(torch::equal(*weights, torch::tensor({1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f, 7.0f, 8.0f})));
}

TEST_CASE("weights file: another network is named with both shapes", "[unit]") {
  const SafeTensor b = Floats("b", {2}, {7, 8});
  CHECK_THAT(Refusal({Floats("a/w", {3, 2}, {1, 2, 3, 4, 5, 6}), b}),
             Contains("'a/w' is F32 of shape [3, 2]") && Contains("F32 of shape [2, 3]"));
  CHECK_THAT(Refusal({b}), Contains("has no tensor 'a/w'") && Contains("[2, 3]"));
  const float infinite = std::numeric_limits<float>::infinity();
  CHECK_THAT(Refusal({Floats("a/w", {2, 3}, {1, 2, 3, 4, 5, infinite}), b}),
             Contains("'a/w' has a number that is not finite"));
  CHECK_FALSE(ParseWeights(kLayout, "no such file").ok());
}

TEST_CASE("weights file: a bundle without it says what writes one", "[unit]") {
  const testing::TempFolder folder;
  REQUIRE(WriteFileAtomically(folder.path() / "weights.npz", "x").ok());
  std::vector<std::string> left_out;
  const auto bundle = OfferFolder(folder.path(), &left_out);
  REQUIRE(bundle.ok());
  const auto read = ReadWeights(kLayout, BundleName(bundle->digest));
  CHECK_THAT(std::string(read.status().message()),
             Contains("has no file weights.safetensors") && Contains("mentor_signal.npz"));
  CHECK_FALSE(ReadWeights(kLayout, "no bundle").ok());
}

}  // namespace mentor::methods::TEST_FILE
