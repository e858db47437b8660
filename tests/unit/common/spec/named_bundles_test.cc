#include "common/spec/named_bundles.h"

#include <set>
#include <string>

#include "common/bundle.h"
#include "common/hash.h"
#include "common/spec/spec.h"
#include "tests/testing.h"

namespace mentor::TEST_FILE {

TEST_CASE("spec: the bundles that it names", "[unit]") {
  const std::string a = Sha256Hex("a"), b = Sha256Hex("b");
  v1::ExperimentSpec spec =
      LoadSpec(
          "benchmark { name: 'single' environment: 'mjcf' option { name: 'bundle' value: "
          "'sha256:" +
          a + "' } wrapper { name: 'w' option { name: 'bundle' value: 'no name' } } }")
          .value();
  CHECK(BundlesOf(spec) == std::set<std::string>{a});
  v1::TaskSetSpec& set = *spec.mutable_benchmark()->add_task_set();
  v1::Option& option = *set.add_option();
  option.set_name("bundle");
  option.set_value(BundleName(b));
  CHECK(BundlesOf(spec) == std::set<std::string>{a, b});
  option.set_name("digest");
  CHECK(BundlesOf(spec) == std::set<std::string>{a});
  v1::Option& weights = *spec.mutable_rule()->add_option();
  weights.set_name("bundle");
  weights.set_value(BundleName(b));
  CHECK(BundlesOf(spec) == std::set<std::string>{a, b});
  CHECK(BundlesOf({}).empty());
}

}  // namespace mentor::TEST_FILE
