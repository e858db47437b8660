// What the bucket says about a checkpoint is believed only where it fits together; and what is
// swept from it.
#include "meta_learner/store/experiment_objects.h"

#include <chrono>
#include <functional>
#include <string>

#include <google/protobuf/text_format.h>

#include "common/file.h"
#include "meta_learner/store/checkpoint.h"
#include "tests/objects.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::meta_learner::TEST_FILE {

using google::protobuf::TextFormat;
using std::chrono::seconds;
using testing::Contains;

constexpr char kUid[] = "0190c42e-0000-7000-8000-000000000001";

// A bucket with a checkpoint of outer update 3.
struct Fixture {
  Fixture() {
    const auto info = WriteCheckpoint(
        folder.path() / "own",
        {.experiment_uid = kUid, .outer_step = 3, .spec_hash = "s", .sections = {{"x", "state"}}});
    REQUIRE(info.ok());
    REQUIRE(objects.PutCheckpoint(*info).ok());
  }
  std::string Key(const std::string& name) const {
    return std::string("experiments/") + kUid + "/" + name;
  }
  absl::Status Fetch() { return objects.FetchCheckpoint(3, folder.path() / "fetched").status(); }

  const testing::TempFolder folder;
  testing::MemoryObjects store;
  ExperimentObjects objects{&store, kUid, nullptr};
};

TEST_CASE("experiment objects: a manifest that does not fit is no whole checkpoint", "[unit]") {
  struct Case {
    const char* expected;
    std::function<void(v1::CheckpointManifest*)> damage;
  };
  const Case cases[] = {
      {"is of something else", [](auto* m) { m->set_format(2); }},
      {"is of something else", [](auto* m) { m->set_experiment_uid("another"); }},
      {"is of something else", [](auto* m) { m->set_outer_step(4); }},
      {"is of something else", [](auto* m) { m->set_size_bytes((uint64_t{8} << 30) + 1); }},
      {"do not make its size", [](auto* m) { m->set_size_bytes(m->size_bytes() + 1); }},
      {"do not make its size", [](auto* m) { m->clear_parts(); }},
      {"no part of ours",
       [](auto* m) { m->mutable_parts(0)->set_size_bytes((uint64_t{64} << 20) + 1); }},
      {"no part of ours", [](auto* m) { m->mutable_parts(0)->set_name("../x"); }},
      {"there is no ", [](auto* m) { m->mutable_parts(0)->set_name("x"); }},
      {"differs from the manifest", [](auto* m) { m->mutable_parts(0)->set_sha256("x"); }},
      {"than its manifest says", [](auto* m) { m->set_state_hash("x"); }},
  };
  for (const Case& test : cases) {
    INFO(test.expected);
    Fixture fixture;
    REQUIRE(fixture.Fetch().ok());
    std::string& text = fixture.store.objects.at(fixture.Key("checkpoints/00000003"));
    v1::CheckpointManifest manifest;
    REQUIRE(TextFormat::ParseFromString(text, &manifest));
    test.damage(&manifest);
    REQUIRE(TextFormat::PrintToString(manifest, &text));
    const absl::Status refused = fixture.Fetch();
    INFO(refused);
    CHECK(absl::IsDataLoss(refused));
    CHECK(Contains(refused, test.expected));
  }
}

TEST_CASE("experiment objects: a file in a folder of its own comes back to it", "[unit]") {
  Fixture fixture;
  fixture.store.objects[fixture.Key("artifacts/x")] = "of x";
  const auto to = fixture.folder.path() / "new";
  REQUIRE(fixture.objects.FetchFile("artifacts/x", to).ok());
  CHECK(ReadFile(to / "artifacts/x", 10).value() == "of x");
}

TEST_CASE("experiment objects: parts without a manifest are swept once they are old enough",
          "[unit]") {
  Fixture fixture;
  for (const char* part :
       {"parts/00000003-a-0000", "parts/00000004-a-0000", "parts/00000004-a-0001"})
    fixture.store.objects[fixture.Key(part)] = "x";
  fixture.store.objects[fixture.Key("artifacts/x")] = "x";
  fixture.store.age_s = 60;
  REQUIRE(fixture.objects.Look().ok());
  CHECK(fixture.objects.Sweep(seconds(61)).value() == 0);
  CHECK(fixture.objects.Sweep(seconds(60)).value() == 2);
  CHECK(fixture.objects.Sweep(seconds(60)).value() == 0);
  // Update 3 has a manifest, so its parts stay, whatever wrote them.
  CHECK(fixture.store.objects.size() == 4);
  CHECK(fixture.Fetch().ok());
  // They go with it.
  REQUIRE(fixture.objects.DropCheckpoint(3).ok());
  CHECK(fixture.store.objects.size() == 1);
  CHECK(absl::IsNotFound(fixture.Fetch()));
}

}  // namespace mentor::meta_learner::TEST_FILE
