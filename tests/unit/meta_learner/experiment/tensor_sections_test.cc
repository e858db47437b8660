#include "meta_learner/experiment/tensor_sections.h"

#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;

bool SameBits(const torch::Tensor& a, const torch::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         (a.numel() == 0 ||
          std::memcmp(a.contiguous().data_ptr(), b.contiguous().data_ptr(), a.nbytes()) == 0);
}

TEST_CASE("tensor sections: every type and shape comes back bit for bit", "[unit]") {
  const auto odd = torch::full({3}, std::nan("7"), torch::kFloat32);
  std::map<std::string, torch::Tensor> tensors = {
      {"scalar", torch::full({}, 0.1, torch::kFloat64)},
      {"odd", odd},
      {"transposed", torch::arange(6, torch::kFloat32).reshape({2, 3}).t()},
      {"empty", torch::empty({0, 4}, torch::kFloat32)},
      {"rows of nothing", torch::empty({8, 0}, torch::kFloat64)},
      {"nothing between", torch::empty({1 << 16, 0, 1 << 16}, torch::kUInt8)},
      {"steps", torch::full({2, 2}, std::numeric_limits<int64_t>::min(), torch::kInt64)},
      {"flags", torch::full({5}, 255, torch::kUInt8)}};
  std::map<std::string, std::string> sections = {{"counters", "x"}, {"rulebook", "y"}};
  AddTensorSections(tensors, "rule/", &sections);
  CHECK(sections.size() == 2 + tensors.size());
  const auto back = TensorsOfSections(sections, "rule/");
  REQUIRE(back.ok());
  REQUIRE(back->size() == tensors.size());
  for (const auto& [name, tensor] : tensors) {
    INFO(name);
    CHECK(SameBits(back->at(name), tensor));
  }
  CHECK(TensorsOfSections(sections, "none/")->empty());
}

TEST_CASE("tensor sections: bytes that are no tensor are refused", "[unit]") {
  const std::string good = EncodeTensor(torch::ones({2, 3}, torch::kFloat32));
  REQUIRE(DecodeTensor(good).ok());
  for (size_t length = 0; length < good.size(); ++length)
    CHECK_FALSE(DecodeTensor(good.substr(0, length)).ok());
  CHECK_FALSE(DecodeTensor(good + "x").ok());
  const auto with_axis = [&](int axis, int64_t size) {
    std::string bytes = good;
    std::memcpy(bytes.data() + 8 + 8 * axis, &size, 8);
    return DecodeTensor(bytes).ok();
  };
  CHECK_FALSE(with_axis(0, -2));
  CHECK_FALSE(with_axis(0, int64_t{1} << 62));
  CHECK_FALSE(with_axis(1, 0));
  const auto status = TensorsOfSections({{"rule/w", "short"}}, "rule/").status();
  CHECK(std::string(status.message()).find("section rule/w: not a tensor") == 0);
}

TEST_CASE("tensor sections: an empty tensor's other axes are bounded too", "[unit]") {
  const auto decoded = [](const std::vector<int64_t>& shape) {
    std::string bytes = EncodeTensor(
        torch::empty(std::vector<int64_t>(shape.size(), 0), torch::dtype(torch::kFloat64)));
    std::memcpy(bytes.data() + 8, shape.data(), 8 * shape.size());
    return DecodeTensor(bytes);
  };
  constexpr int64_t kMost = int64_t{1} << 32, kHuge = int64_t{1} << 62, kLeast = INT64_MIN;
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{
           {0}, {0, 0}, {8, 0}, {0, 8}, {kMost, 0}, {0, kMost}, {1 << 16, 0, 1 << 16}}) {
    INFO(torch::IntArrayRef(shape));
    const auto tensor = decoded(shape);
    REQUIRE(tensor.ok());
    CHECK(tensor->sizes() == shape);
  }
  for (const std::vector<int64_t>& shape : std::vector<std::vector<int64_t>>{{kHuge, 0},
                                                                             {0, kHuge},
                                                                             {kMost + 1, 0},
                                                                             {kMost, 0, 2},
                                                                             {0, kMost, kMost},
                                                                             {0, kHuge, kHuge},
                                                                             {kHuge, 4, 0},
                                                                             {-1, 0},
                                                                             {0, -1},
                                                                             {kLeast, 0},
                                                                             {-2, -2, 0}}) {
    INFO(torch::IntArrayRef(shape));
    CHECK(absl::IsDataLoss(decoded(shape).status()));
  }
}

}  // namespace mentor::TEST_FILE
