// The conformance suite over the whole catalogue: an environment that registers itself is tested
// here.
#include <cstdlib>
#include <thread>

#include "common/file.h"
#include "tests/conformance/envs/environment_checks.h"
#include "tests/temp_folder.h"

namespace mentor::envs::testing::TEST_FILE {

TEST_CASE("environments: shapes, finite numbers, episodes of the promised length",
          "[conformance]") {
  for (const Variant& variant : AllVariants()) Kept(variant, CheckShapes(variant.AsSubject()));
}

TEST_CASE("environments: the same episode has the same bits, fresh or after others, and in threads",
          "[conformance]") {
  for (const Variant& variant : SomeVariants()) {
    Kept(variant, CheckSameBits(variant.AsSubject()));
  }
}

TEST_CASE("all environments: the same episode has the same bits", "[conformance][nightly]") {
  for (const Variant& variant : AllVariants()) Kept(variant, CheckSameBits(variant.AsSubject()));
}

// One line for each variant: its name and the hash of an episode.
std::string Digests() {
  std::string text;
  for (const Variant& variant : AllVariants()) {
    text += variant.Name() + " " + EpisodeDigest(variant.AsSubject()) + "\n";
  }
  return text;
}

// Hidden: the next test starts this as a process.
TEST_CASE("environments: write digests", "[.]") {
  const char* file = std::getenv("MENTOR_TEST_DIGESTS");
  REQUIRE(file != nullptr);
  REQUIRE(WriteFileAtomically(file, Digests()).ok());
}

TEST_CASE("environments: a fresh process gives the same bits", "[conformance][nightly]") {
  const mentor::testing::TempFolder folder;
  const std::string file = folder.path() / "digests";
  const std::string command = "MENTOR_TEST_DIGESTS=" + file + " timeout 600 /proc/" +
                              std::to_string(getpid()) + "/exe 'environments: write digests' > " +
                              file + ".log 2>&1";
  std::string other;
  std::jthread process([&] {
    if (std::system(command.c_str()) == 0) other = ReadFile(file, 1 << 20).value_or("");
  });
  const std::string want = Digests();
  process.join();
  CHECK(other == want);
}

TEST_CASE("environments: a saved state goes on bit for bit in a fresh and in a used instance",
          "[conformance]") {
  for (const Variant& variant : SomeVariants()) {
    Kept(variant, CheckSavedStates(variant.AsSubject()));
  }
}

TEST_CASE("all environments: a saved state goes on bit for bit", "[conformance][nightly]") {
  for (const Variant& variant : AllVariants()) Kept(variant, CheckSavedStates(variant.AsSubject()));
}

TEST_CASE("environments: bad calls are refused and leave the episode as it was", "[conformance]") {
  for (const Variant& variant : SomeVariants()) Kept(variant, CheckBadCalls(variant.AsSubject()));
}

TEST_CASE("all environments: bad calls are refused", "[conformance][nightly]") {
  for (const Variant& variant : AllVariants()) Kept(variant, CheckBadCalls(variant.AsSubject()));
}

TEST_CASE("environments: states that are cut, altered or foreign are refused", "[conformance]") {
  const std::vector<Variant> variants = SomeVariants();
  for (size_t v = 0; v < variants.size(); ++v) CheckBadStates(variants, v);
}

TEST_CASE("all environments: bad states are refused", "[conformance][nightly]") {
  const std::vector<Variant> variants = AllVariants();
  for (size_t v = 0; v < variants.size(); ++v) CheckBadStates(variants, v);
}

}  // namespace mentor::envs::testing::TEST_FILE
