#include "common/evaluation_method.h"

#include <set>

#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("evaluation methods: all have a place, a name and an option of their own", "[unit]") {
  std::set<std::string> names, options;
  int place = 0;
  for (const EvaluationMethodInfo& info : EvaluationMethods()) {
    INFO(info.name);
    CHECK(PlaceOf(info.method) == place++);
    CHECK(MethodNamed(NameOf(info.method)) == info.method);
    CHECK(MethodOfOption(info.option) == info.method);
    CHECK(IsLearned(info.method) == info.learned);
    names.insert(info.name);
    options.insert(info.option);
  }
  // All values of the enum but UNSPECIFIED.
  CHECK(place == v1::EvaluationMethod_descriptor()->value_count() - 1);
  CHECK(names.size() == static_cast<size_t>(place));
  CHECK(options.size() == static_cast<size_t>(place));
  CHECK(TagOf(v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED) == "ppo_sparse_and_shaped");
  CHECK_FALSE(MethodNamed("PPO").has_value());
  CHECK_FALSE(MethodOfOption("PPO sparse").has_value());
}

}  // namespace mentor::TEST_FILE
