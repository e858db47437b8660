// The conformance suite over wrappers: an environment in wrappers must do what every environment
// does.
#include <set>

#include "tests/conformance/envs/wrapper_variants.h"

namespace mentor::envs::testing {
namespace {

TEST_CASE("wrappers: each one is tested", "[conformance]") {
  std::set<std::string> tested, registered;
  for (const Variant& variant : WrapperVariants()) {
    for (const v1::WrapperSpec& wrapper : variant.wrappers) tested.insert(wrapper.name());
  }
  for (const WrapperEntry* entry : Wrappers()) registered.insert(entry->name);
  CHECK(tested == registered);
}

TEST_CASE("wrappers: shapes, finite numbers, episodes of the promised length", "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckShapes(variant);
}

TEST_CASE("wrappers: the same episode has the same bits, fresh or after others, and in threads",
          "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckSameBits(variant);
}

TEST_CASE("wrappers: a saved state goes on bit for bit in a fresh and in a used instance",
          "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckSavedStates(variant);
}

TEST_CASE("wrappers: bad calls are refused and leave the episode as it was", "[conformance]") {
  for (const Variant& variant : WrapperVariants()) CheckBadCalls(variant);
}

TEST_CASE("wrappers: states that are cut, altered or foreign are refused", "[conformance]") {
  const std::vector<Variant> variants = WrapperVariants();
  for (size_t v = 0; v < variants.size(); ++v) CheckBadStates(variants, v);
}

}  // namespace
}  // namespace mentor::envs::testing
