#include "envs/benchmark.h"
#include "envs/environment.h"
#include "envs/fingerprint.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::TEST_FILE {

using mentor::testing::Contains;

TEST_CASE("catalogue: sorted, with near matches for wrong names", "[unit]") {
  const auto& all = Catalogue();
  for (size_t i = 1; i < all.size(); ++i) CHECK(all[i - 1]->name < all[i]->name);
  for (const char* name : {"reach-v3", "push-v3", "door-close-v3", "button-press-v3", "point_reach",
                           "umbrella_length"}) {
    CHECK(FindEnvironment(name) != nullptr);
  }
  const auto status = [](const char* name) { return MakeEnvironment(name, {}).status(); };
  CHECK(status("push").code() == absl::StatusCode::kNotFound);
  CHECK(Contains(status("push").ToString(), "unknown environment 'push'; did you mean 'push-v3'"));
  CHECK(Contains(status("door-close-v2").ToString(), "did you mean 'door-close-v3'"));
  CHECK(Contains(status("something else entirely").ToString(), "known: Ant-v5, HalfCheetah-v5"));
}

TEST_CASE("catalogue: its hash and the fingerprint are hexadecimal and stay the same", "[unit]") {
  for (const std::string& hash : {CatalogueHash(), NumericFingerprint()}) {
    CHECK(hash.size() == 64);
    CHECK(hash.find_first_not_of("0123456789abcdef") == std::string::npos);
  }
  CHECK(CatalogueHash() == CatalogueHash());
  CHECK(CatalogueHash() != NumericFingerprint());
}

}  // namespace mentor::envs::TEST_FILE
