// What a spec says of agents' surrogates: agent.surrogate and the constants of its drift.
#include <string>
#include <vector>

#include "common/spec/spec.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

// "field: description" of every violation.
std::vector<std::string> Complaints(std::string_view text) {
  Violations violations;
  ParseSpec(text, {}, &violations);
  std::vector<std::string> lines;
  for (const Violation& violation : violations.list())
    lines.push_back(violation.field + ": " + violation.description);
  return lines;
}

v1::ExperimentSpec Load(std::string_view text) {
  auto spec = LoadSpec(text);
  INFO(spec.status().ToString());
  REQUIRE(spec.ok());
  return *std::move(spec);
}

TEST_CASE("spec: constants of the drift belong to a spec that has it, and have no default",
          "[unit]") {
  const auto lines = Complaints("benchmark { name: 'a' } agent { dpo_alpha: 3 dpo_beta: 0.5 }");
  const std::string what =
      ": is set, but the drift that it belongs to is not; set agent.surrogate to DPO, or leave it "
      "out";
  CHECK(lines == std::vector<std::string>{"agent.dpo_alpha" + what, "agent.dpo_beta" + what});
  const v1::ExperimentSpec drift =
      Load("benchmark { name: 'a' } agent { surrogate: DPO dpo_beta: 0.5 }");
  CHECK_FALSE(WithDefaults(drift).agent().has_dpo_alpha());
  // Specs of before keep their hash.
  CHECK_FALSE(WithDefaults(Load("benchmark { name: 'a' }")).agent().has_surrogate());
  CHECK(Complaints("benchmark { name: 'a' } agent { surrogate: DPO dpo_alpha: 0 }") ==
        std::vector<std::string>{"agent.dpo_alpha: is 0; give a finite number above 0"});
  CHECK(
      Complaints("benchmark { name: 'a' } agent { surrogate: SURROGATE_UNSPECIFIED }") ==
      std::vector<std::string>{"agent.surrogate: is SURROGATE_UNSPECIFIED; give one of CLIP, DPO"});
}

}  // namespace mentor::TEST_FILE
