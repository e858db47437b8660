#include "common/evaluation_method.h"

#include <algorithm>

#include <absl/strings/ascii.h>

#include "common/check.h"

namespace mentor {
namespace {

constexpr EvaluationMethodInfo kMethods[] = {
    {v1::EVALUATION_METHOD_LEARNED, "learned", "learned", /*learned=*/true},
    {v1::EVALUATION_METHOD_LEARNED_BEST, "learned (best)", "best", /*learned=*/true},
    {v1::EVALUATION_METHOD_LEARNED_AVERAGE, "learned (average)", "average", /*learned=*/true},
    {v1::EVALUATION_METHOD_PPO_SPARSE, "PPO sparse", "sparse", /*learned=*/false},
    {v1::EVALUATION_METHOD_PPO_SHAPED, "PPO shaped", "shaped", /*learned=*/false},
    {v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED, "PPO sparse and shaped", "sparse_and_shaped",
     /*learned=*/false},
    {v1::EVALUATION_METHOD_PPO_POTENTIAL, "PPO potential", "potential", /*learned=*/false},
    {v1::EVALUATION_METHOD_PPO_RND, "PPO RND", "rnd", /*learned=*/false},
    {v1::EVALUATION_METHOD_PPO_ICM, "PPO ICM", "icm", /*learned=*/false},
    {v1::EVALUATION_METHOD_PPO_COUNTS, "PPO counts", "counts", /*learned=*/false},
    {v1::EVALUATION_METHOD_RANDOM_SIGNAL, "random signal", "random", /*learned=*/false},
};
// All but UNSPECIFIED.
static_assert(std::size(kMethods) + 1 == size_t{v1::EvaluationMethod_ARRAYSIZE});

template <typename Choose>
std::optional<v1::EvaluationMethod> FindMethod(const Choose& choose) {
  const auto* found = std::find_if(std::begin(kMethods), std::end(kMethods), choose);
  if (found == std::end(kMethods)) return std::nullopt;
  return found->method;
}

}  // namespace

std::span<const EvaluationMethodInfo> EvaluationMethods() {
  return kMethods;
}

const EvaluationMethodInfo& InfoOf(v1::EvaluationMethod method) {
  for (const EvaluationMethodInfo& info : kMethods) {
    if (info.method == method) return info;
  }
  MENTOR_CHECK(false);
  return kMethods[0];
}

std::string NameOf(v1::EvaluationMethod method) {
  return InfoOf(method).name;
}

std::string TagOf(v1::EvaluationMethod method) {
  constexpr size_t kPrefix = std::string_view("EVALUATION_METHOD_").size();
  return absl::AsciiStrToLower(v1::EvaluationMethod_Name(InfoOf(method).method).substr(kPrefix));
}

bool IsLearned(v1::EvaluationMethod method) {
  return InfoOf(method).learned;
}

int PlaceOf(v1::EvaluationMethod method) {
  return static_cast<int>(&InfoOf(method) - kMethods);
}

std::optional<v1::EvaluationMethod> MethodNamed(std::string_view name) {
  return FindMethod([&](const EvaluationMethodInfo& info) { return info.name == name; });
}

std::optional<v1::EvaluationMethod> MethodOfOption(std::string_view option) {
  return FindMethod([&](const EvaluationMethodInfo& info) { return info.option == option; });
}

}  // namespace mentor
