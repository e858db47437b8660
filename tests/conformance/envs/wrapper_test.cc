// The conformance suite over wrappers: an environment in wrappers must do what every environment
// does.
#include <algorithm>

#include "tests/conformance/envs/wrapper_variants.h"

namespace mentor::envs::testing::TEST_FILE {

// A setting at its default would test nothing.
TEST_CASE("wrappers: examples are settings of their tables that differ from the defaults",
          "[conformance]") {
  for (const WrapperEntry* entry : Wrappers()) {
    for (const v1::WrapperSpec& example : Examples(*entry)) {
      INFO(entry->name);
      Violations violations;
      OptionValues::Parse(entry->options, example.option(), "option", &violations);
      CHECK(violations.ToStatus().ToString() == "OK");
      for (const v1::Option& option : example.option()) {
        const auto info = std::find_if(entry->options.begin(), entry->options.end(),
                                       [&](const auto& x) { return x.name == option.name(); });
        REQUIRE(info != entry->options.end());
        CHECK(info->default_value != option.value());
      }
    }
  }
}

TEST_CASE("wrappers: shapes, finite numbers, episodes of the promised length", "[conformance]") {
  for (const Variant& variant : WrapperVariants()) Kept(variant, CheckShapes(variant.AsSubject()));
}

TEST_CASE("wrappers: the same episode has the same bits, fresh or after others, and in threads",
          "[conformance][nightly]") {
  for (const Variant& variant : WrapperVariants())
    Kept(variant, CheckSameBits(variant.AsSubject()));
}

TEST_CASE("wrappers: a saved state goes on bit for bit in a fresh and in a used instance",
          "[conformance][nightly]") {
  for (const Variant& variant : WrapperVariants())
    Kept(variant, CheckSavedStates(variant.AsSubject()));
}

TEST_CASE("wrappers: bad calls are refused and leave the episode as it was", "[conformance]") {
  for (const Variant& variant : WrapperVariants())
    Kept(variant, CheckBadCalls(variant.AsSubject()));
}

TEST_CASE("wrappers: states that are cut, altered or foreign are refused", "[conformance]") {
  const std::vector<Variant> variants = WrapperVariants();
  for (size_t v = 0; v < variants.size(); ++v) CheckBadStates(variants, v);
}

}  // namespace mentor::envs::testing::TEST_FILE
