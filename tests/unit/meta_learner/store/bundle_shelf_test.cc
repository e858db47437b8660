#include "meta_learner/store/bundle_shelf.h"

#include <atomic>
#include <chrono>
#include <fstream>
#include <future>
#include <latch>
#include <thread>

#include "common/failpoint.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/spec/named_bundles.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/store/backup.h"
#include "meta_learner/store/store.h"
#include "tests/objects.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using namespace mentor::meta_learner;
using mentor::testing::Contains;
using mentor::testing::MemoryObjects;
using mentor::testing::TempFolder;
namespace fs = std::filesystem;
using Turn = BundleShelf::Turn;

absl::Status Delete(BundleShelf* shelf, const std::string& digest) {
  const Turn turn(shelf, {digest});
  const auto pushers = shelf->Pushers(turn);
  if (!pushers.ok()) return pushers.status();
  for (const std::string& owner : *pushers) shelf->EndPush(turn, owner);
  return shelf->Delete(turn);
}

// A bucket whose writes block until the test releases them.
class SlowObjects : public MemoryObjects {
 public:
  absl::Status Put(const std::string& key, std::string_view bytes, const Cancel* cancel) override {
    if (is_slow.load()) {
      waiting.count_down();
      go_on.wait();
    }
    return MemoryObjects::Put(key, bytes, cancel);
  }
  std::atomic<bool> is_slow = false;
  std::latch waiting{1}, go_on{1};
};

fs::path MakeOrigin(const fs::path& folder, const std::string& mesh = "arm") {
  fs::create_directories(folder / "meshes");
  std::ofstream(folder / "robot.xml") << "<mujoco/>";
  std::ofstream(folder / "meshes/arm.stl", std::ios::binary) << mesh;
  return folder;
}

std::unique_ptr<BundleShelf> OpenShelf(const fs::path& folder, uint64_t owner_bytes_max = 0,
                                       ObjectStore* objects = nullptr) {
  return BundleShelf::Open(
             {.folder = folder / "bundles", .objects = objects, .owner_bytes_max = owner_bytes_max})
      .value();
}

std::string All(const fs::path& folder, const BundleManifest& manifest) {
  return FolderSource(folder, manifest)(0).value();
}

TEST_CASE("bundle shelf: a push that breaks off goes on where it stood", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const BundleManifest manifest = ReadBundle(origin).value();
  const std::string bytes = All(origin, manifest);
  REQUIRE(bytes.size() == 12);
  {
    const auto shelf = OpenShelf(folder.path());
    const auto begun = shelf->Begin(manifest, "ann");
    REQUIRE(begun.ok());
    CHECK(begun->next_offset() == 0);
    CHECK(begun->size_bytes() == 12);
    CHECK_FALSE(begun->complete());
    CHECK(shelf->Add(manifest.digest, "ann", 0, bytes.substr(0, 5))->next_offset() == 5);
    CHECK(absl::IsNotFound(shelf->Get(manifest.digest).status()));
  }
  // Another process, and a pusher that does not know which bytes have arrived.
  const auto shelf = OpenShelf(folder.path());
  CHECK(shelf->Begin(manifest, "ann")->next_offset() == 5);
  CHECK(shelf->Add(manifest.digest, "ann", 3, bytes.substr(3, 4))->next_offset() == 7);
  CHECK(shelf->Add(manifest.digest, "ann", 3, bytes.substr(3, 4))->next_offset() == 7);
  const auto ahead = shelf->Add(manifest.digest, "ann", 8, bytes.substr(8));
  CHECK(absl::IsOutOfRange(ahead.status()));
  CHECK(Contains(ahead.status(), "go on at 7"));
  CHECK(absl::IsInvalidArgument(
      shelf->Add(manifest.digest, "ann", 7, bytes.substr(7) + "x").status()));
  const auto whole = shelf->Add(manifest.digest, "ann", 7, bytes.substr(7));
  REQUIRE(whole.ok());
  CHECK(whole->complete());
  // The answer to the last piece was lost, and the whole push is repeated.
  CHECK(shelf->Add(manifest.digest, "ann", 7, bytes.substr(7))->complete());
  CHECK(shelf->Begin(manifest, "bob")->complete());
  const auto bundle = shelf->Get(manifest.digest);
  REQUIRE(bundle.ok());
  CHECK(bundle->name() == "bundles/" + manifest.digest);
  CHECK(bundle->owner() == "ann");
  CHECK(bundle->size_bytes() == 12);
  CHECK(bundle->file_count() == 2);
  CHECK(bundle->files_size() == 2);
  const auto found = shelf->Find(manifest.digest);
  REQUIRE(found.ok());
  CHECK((*found)->manifest() == manifest);
  const auto list = shelf->List();
  REQUIRE(list->size() == 1);
  CHECK(list->front().files_size() == 0);
  CHECK(fs::is_empty(folder.path() / "bundles/uploads"));
}

TEST_CASE("bundle shelf: bytes that are not the list's begin anew", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const BundleManifest manifest = ReadBundle(origin).value();
  const auto shelf = OpenShelf(folder.path());
  CHECK(absl::IsFailedPrecondition(shelf->Add(manifest.digest, "ann", 0, "x").status()));
  REQUIRE(shelf->Begin(manifest, "ann").ok());
  CHECK(absl::IsDataLoss(shelf->Add(manifest.digest, "ann", 0, std::string(12, 'x')).status()));
  CHECK(absl::IsNotFound(shelf->Get(manifest.digest).status()));
  CHECK_FALSE(fs::exists(folder.path() / "bundles" / manifest.digest));
  CHECK(shelf->Begin(manifest, "ann")->next_offset() == 0);
  CHECK(shelf->Add(manifest.digest, "ann", 0, All(origin, manifest))->complete());
  BundleManifest wrong = manifest;
  wrong.files[0].path = "../out";
  CHECK(absl::IsInvalidArgument(shelf->Begin(wrong, "ann").status()));
}

TEST_CASE("bundle shelf: a crash at the end loses nothing and shows nothing half", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const BundleManifest manifest = ReadBundle(origin).value();
  {
    const auto shelf = OpenShelf(folder.path());
    REQUIRE(shelf->Begin(manifest, "ann").ok());
    REQUIRE(failpoint::Arm("bundle_shelf.before_about=1:error(crash)").ok());
    CHECK(
        absl::IsUnavailable(shelf->Add(manifest.digest, "ann", 0, All(origin, manifest)).status()));
    REQUIRE(failpoint::Arm("").ok());
    CHECK(absl::IsNotFound(shelf->Get(manifest.digest).status()));
  }
  fs::create_directories(folder.path() / "bundles" / ("." + manifest.digest));
  const auto shelf = OpenShelf(folder.path());
  CHECK_FALSE(fs::exists(folder.path() / "bundles" / ("." + manifest.digest)));
  CHECK(shelf->Begin(manifest, "ann")->complete());
  CHECK(shelf->Find(manifest.digest).ok());
}

TEST_CASE("bundle shelf: a piece that was not written is asked for again", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const BundleManifest manifest = ReadBundle(origin).value();
  const auto shelf = OpenShelf(folder.path());
  REQUIRE(shelf->Begin(manifest, "ann").ok());
  REQUIRE(failpoint::Arm("bundle_shelf.write=1:error(away)").ok());
  CHECK(absl::IsUnavailable(shelf->Add(manifest.digest, "ann", 0, All(origin, manifest)).status()));
  REQUIRE(failpoint::Arm("").ok());
  CHECK(shelf->Begin(manifest, "ann")->next_offset() == 0);
  CHECK(shelf->Add(manifest.digest, "ann", 0, All(origin, manifest))->complete());
}

TEST_CASE("bundle shelf: one owner's bundles have a limit and what is pushed counts", "[unit]") {
  const TempFolder folder;
  const auto a = MakeOrigin(folder.path() / "a", std::string(100, 'a'));
  const auto b = MakeOrigin(folder.path() / "b", std::string(100, 'b'));
  const auto shelf = OpenShelf(folder.path(), /*owner_bytes_max=*/20'000);
  const BundleManifest first = ReadBundle(a).value(), second = ReadBundle(b).value();
  REQUIRE(shelf->Begin(first, "ann").ok());
  const auto over = shelf->Begin(second, "ann");
  CHECK(absl::IsResourceExhausted(over.status()));
  CHECK(ReasonOf(over.status()) == "QUOTA_EXCEEDED");
  // Each has 109 bytes, 2 files, a folder and the folder of all.
  CHECK(Contains(over.status(), "would have 32986 bytes of bundles"));
  CHECK(Contains(over.status(), "20000 are allowed"));
  CHECK(shelf->Begin(second, "bob").ok());
  CHECK(shelf->Add(first.digest, "ann", 0, All(a, first))->complete());
  REQUIRE(Delete(shelf.get(), second.digest).ok());
  CHECK(ReasonOf(shelf->Begin(second, "ann").status()) == "QUOTA_EXCEEDED");
  REQUIRE(Delete(shelf.get(), first.digest).ok());
  REQUIRE(shelf->Begin(second, "ann").ok());
  // An interrupted push is named, and can be removed.
  const auto blocked = shelf->Begin(first, "ann").status();
  CHECK(Contains(blocked, "also ends pushes that broke off: robot.xml (sha256:" +
                              second.digest.substr(0, 12) + ")"));
  CHECK(*shelf->Pushers(Turn(shelf.get(), {second.digest})) == std::vector<std::string>{"ann"});
  CHECK(absl::IsNotFound(shelf->Get(second.digest).status()));
  REQUIRE(Delete(shelf.get(), second.digest).ok());
  // A damaged bundle does not count twice when it is mended.
  REQUIRE(shelf->AddFolder(a, "ann").ok());
  std::ofstream(folder.path() / "bundles" / first.digest / "robot.xml") << "<other/>";
  CHECK(shelf->AddFolder(a, "ann").ok());
  CHECK(shelf->Find(first.digest).ok());
}

TEST_CASE("bundle shelf: files and folders without a byte count in the limit", "[unit]") {
  const TempFolder folder;
  const auto shelf = OpenShelf(folder.path(), /*owner_bytes_max=*/1'000'000);
  BundleManifest many;
  for (int i = 0; i < 300; ++i)
    many.files.push_back({.path = std::to_string(1000 + i), .bytes = 0, .sha256 = Sha256Hex("")});
  many.digest = BundleDigest(many.files);
  CHECK(ReasonOf(shelf->Begin(many, "ann").status()) == "QUOTA_EXCEEDED");
  CHECK(shelf->List()->empty());
  many.files.resize(200);
  many.digest = BundleDigest(many.files);
  CHECK(shelf->Begin(many, "ann")->complete());
  // Whole bundles count like pushes, also after a restart.
  const auto next = OpenShelf(folder.path(), /*owner_bytes_max=*/1'000'000);
  many.files.resize(100);
  many.digest = BundleDigest(many.files);
  CHECK(ReasonOf(next->Begin(many, "ann").status()) == "QUOTA_EXCEEDED");
  CHECK(next->Begin(many, "bob")->complete());
}

TEST_CASE("bundle shelf: owners who push the same bundle do each other no harm", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const BundleManifest manifest = ReadBundle(origin).value();
  const std::string bytes = All(origin, manifest);
  const auto shelf = OpenShelf(folder.path());
  REQUIRE(shelf->Begin(manifest, "ann").ok());
  CHECK(shelf->Add(manifest.digest, "ann", 0, bytes.substr(0, 5))->next_offset() == 5);
  // Another one has no part in it,
  CHECK(absl::IsFailedPrecondition(shelf->Add(manifest.digest, "eve", 0, "xxxxx").status()));
  CHECK(shelf->Begin(manifest, "eve")->next_offset() == 0);
  CHECK(absl::IsDataLoss(shelf->Add(manifest.digest, "eve", 0, std::string(12, 'x')).status()));
  REQUIRE(shelf->Begin(manifest, "eve").ok());
  CHECK(shelf->Add(manifest.digest, "eve", 0, "xxxxx")->next_offset() == 5);
  CHECK(shelf->Pushers(Turn(shelf.get(), {manifest.digest}))->size() == 2);
  // No user overwrites existing bytes, not even their owner.
  CHECK(shelf->Add(manifest.digest, "ann", 0, "yyyyyy")->next_offset() == 6);
  shelf->EndPush(Turn(shelf.get(), {manifest.digest}), "ann");
  REQUIRE(shelf->Begin(manifest, "ann").ok());
  CHECK(shelf->Add(manifest.digest, "ann", 0, bytes.substr(0, 5))->next_offset() == 5);
  CHECK(shelf->Add(manifest.digest, "ann", 0, "yyyyy" + bytes.substr(5))->complete());
  CHECK(shelf->Get(manifest.digest)->owner() == "ann");
  // The other's is at its end with it.
  CHECK(shelf->Add(manifest.digest, "eve", 5, "x")->complete());
  CHECK(fs::is_empty(folder.path() / "bundles/uploads"));
  // Repairing it does not change its owner.
  std::ofstream(folder.path() / "bundles" / manifest.digest / "robot.xml") << "<other/>";
  REQUIRE(shelf->AddFolder(origin, "bob").ok());
  CHECK(shelf->Find(manifest.digest).ok());
  CHECK(shelf->Get(manifest.digest)->owner() == "ann");
}

TEST_CASE("bundle shelf: a push is mended also while somebody has the damaged files", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const auto shelf = OpenShelf(folder.path());
  const auto manifest = shelf->AddFolder(origin, "ann");
  REQUIRE(manifest.ok());
  const auto held = shelf->Find(manifest->digest);
  REQUIRE(held.ok());
  const fs::path model = folder.path() / "bundles" / manifest->digest / "robot.xml";
  std::ofstream(model) << "<mujoc0/>";
  REQUIRE(shelf->AddFolder(origin, "ann").ok());
  CHECK(VerifyBundle(model.parent_path(), manifest->digest).ok());
}

TEST_CASE("bundle shelf: what nobody waits for any more is not written", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const BundleManifest manifest = ReadBundle(origin).value();
  const auto shelf = OpenShelf(folder.path());
  REQUIRE(shelf->Begin(manifest, "ann").ok());
  const std::string bytes = All(origin, manifest);
  REQUIRE(shelf->Add(manifest.digest, "ann", 0, bytes.substr(0, 11)).ok());
  std::atomic<bool> gone = true;
  CHECK(
      absl::IsCancelled(shelf->Add(manifest.digest, "ann", 11, bytes.substr(11), &gone).status()));
  CHECK(absl::IsCancelled(shelf->Begin(manifest, "ann", &gone).status()));
  CHECK(absl::IsNotFound(shelf->Get(manifest.digest).status()));
  gone = false;
  CHECK(shelf->Begin(manifest, "ann", &gone)->next_offset() == 11);
  CHECK(shelf->Add(manifest.digest, "ann", 11, bytes.substr(11), &gone)->complete());
}

TEST_CASE("bundle shelf: an owner's silent bucket holds up no other owner", "[unit]") {
  // Lists nothing until it is let go.
  class SilentObjects : public MemoryObjects {
   public:
    absl::StatusOr<std::vector<std::string>> ListFolders(const std::string& prefix,
                                                         const Cancel* cancel) override {
      if (!is_silent.exchange(false)) return MemoryObjects::ListFolders(prefix, cancel);
      waiting.count_down();
      go_on.wait();
      return MemoryObjects::ListFolders(prefix, cancel);
    }
    std::atomic<bool> is_silent = false;
    std::latch waiting{1}, go_on{1};
  };
  const TempFolder folder;
  SilentObjects objects;
  const auto shelf = OpenShelf(folder.path(), /*owner_bytes_max=*/1'000'000, &objects);
  const auto a = MakeOrigin(folder.path() / "a"), b = MakeOrigin(folder.path() / "b", "leg");
  objects.is_silent = true;
  auto push = std::async(std::launch::async, [&] { return shelf->AddFolder(a, "ann"); });
  objects.waiting.wait();
  auto other = std::async(std::launch::async, [&] { return shelf->AddFolder(b, "bob"); });
  const bool was_free = other.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  objects.go_on.count_down();
  CHECK(was_free);
  CHECK(other.get().ok());
  CHECK(push.get().ok());
}

TEST_CASE("bundle shelf: an old push makes room while the server runs", "[unit]") {
  const TempFolder folder;
  const auto a = MakeOrigin(folder.path() / "a", std::string(100, 'a'));
  const auto b = MakeOrigin(folder.path() / "b", std::string(100, 'b'));
  const auto shelf = OpenShelf(folder.path(), /*owner_bytes_max=*/20'000);
  const BundleManifest first = ReadBundle(a).value();
  REQUIRE(shelf->Begin(first, "ann").ok());
  CHECK(absl::IsResourceExhausted(shelf->AddFolder(b, "ann").status()));
  for (const auto& file : fs::directory_iterator(folder.path() / "bundles/uploads"))
    fs::last_write_time(file, fs::file_time_type::clock::now() - std::chrono::hours(25));
  CHECK(shelf->AddFolder(b, "ann").ok());
}

TEST_CASE("bundle shelf: damaged files are not given out and are mended by a push", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const auto shelf = OpenShelf(folder.path());
  const auto manifest = shelf->AddFolder(origin, "ann");
  REQUIRE(manifest.ok());
  const fs::path mesh = folder.path() / "bundles" / manifest->digest / "meshes/arm.stl";
  std::ofstream(mesh) << "arx";
  const absl::Status damaged = shelf->Find(manifest->digest).status();
  CHECK(absl::IsDataLoss(damaged));
  CHECK(Contains(damaged,
                 "files of robot.xml (sha256:" + manifest->digest.substr(0, 12) + ") are damaged"));
  CHECK(shelf->Check(Turn(shelf.get(), {manifest->digest})).ok());
  REQUIRE(shelf->AddFolder(origin, "ann").ok());
  CHECK(shelf->Find(manifest->digest).ok());
  const auto missing = shelf->Check(Turn(shelf.get(), {manifest->digest, Sha256Hex("none")}));
  CHECK(absl::IsFailedPrecondition(missing));
  CHECK(ReasonOf(missing) == "BUNDLE_MISSING");
  CHECK(Contains(missing, "sha256:" + Sha256Hex("none") + " here; push it with `mentorctl"));
  REQUIRE(Delete(shelf.get(), manifest->digest).ok());
  CHECK_FALSE(fs::exists(mesh));
  CHECK(Delete(shelf.get(), manifest->digest).ok());
}

TEST_CASE("bundle shelf: with any byte changed, a bundle is refused", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const std::string digest = OpenShelf(folder.path())->AddFolder(origin, "ann")->digest;
  const fs::path own = folder.path() / "bundles";
  for (const fs::path& file :
       {own / (digest + ".txtpb"), own / digest / "robot.xml", own / digest / "meshes/arm.stl"}) {
    const std::string whole = *ReadFile(file, 1 << 20);
    for (size_t at = 0; at < whole.size(); ++at) {
      std::string damaged = whole;
      damaged[at] ^= static_cast<char>(1 << at % 8);
      std::ofstream(file, std::ios::binary) << damaged;
      const absl::Status refused = OpenShelf(folder.path())->Find(digest).status();
      if (!absl::IsDataLoss(refused)) FAIL(file << ", byte " << at << ": " << refused.ToString());
    }
    std::ofstream(file, std::ios::binary) << whole;
    CHECK(OpenShelf(folder.path())->Find(digest).ok());
  }
}

TEST_CASE("bundle shelf: a bucket brings back what a new folder lacks", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  MemoryObjects objects;
  const auto first = OpenShelf(folder.path() / "one", 0, &objects);
  const auto manifest = first->AddFolder(origin, "ann");
  REQUIRE(manifest.ok());
  CHECK(objects.objects.size() == 2);
  const auto second = OpenShelf(folder.path() / "two", 0, &objects);
  REQUIRE(second->List()->size() == 1);
  CHECK(second->List()->front().owner() == "ann");
  const auto found = second->Find(manifest->digest);
  REQUIRE(found.ok());
  CHECK(VerifyBundle((*found)->folder(), manifest->digest).ok());
  objects.away = true;
  CHECK(OpenShelf(folder.path() / "two", 0, &objects)->Find(manifest->digest).ok());
  CHECK(absl::IsUnavailable(
      OpenShelf(folder.path() / "three", 0, &objects)->Find(manifest->digest).status()));
  objects.away = false;
  // A push mends what the bucket has lost, as the message says.
  const std::string part = "bundles/" + manifest->digest + "/0000";
  objects.objects.erase(part);
  const auto fourth = OpenShelf(folder.path() / "four", 0, &objects);
  CHECK(absl::IsDataLoss(fourth->Find(manifest->digest).status()));
  REQUIRE(fourth->AddFolder(origin, "ann").ok());
  CHECK(objects.objects.contains(part));
  CHECK(fourth->Find(manifest->digest).ok());
  REQUIRE(Delete(first.get(), manifest->digest).ok());
  CHECK(objects.objects.empty());
}

TEST_CASE("bundle shelf: one that waits for its bucket holds up no other", "[unit]") {
  const TempFolder folder;
  SlowObjects objects;
  const auto shelf = OpenShelf(folder.path(), /*owner_bytes_max=*/50'000, &objects);
  const auto there = shelf->AddFolder(MakeOrigin(folder.path() / "there"), "ann");
  REQUIRE(there.ok());
  const auto origin = MakeOrigin(folder.path() / "origin", "leg");
  const std::string pushed = ReadBundle(origin).value().digest;
  objects.is_slow = true;
  auto push = std::async(std::launch::async, [&] { return shelf->AddFolder(origin, "ann"); });
  objects.waiting.wait();
  objects.is_slow = false;
  // Behind one lock all of this would wait for ever.
  CHECK(shelf->Get(there->digest).ok());
  CHECK(shelf->Find(there->digest).ok());
  CHECK(shelf->Check(Turn(shelf.get(), {there->digest})).ok());
  CHECK(shelf->List()->size() == 1);
  const auto another = MakeOrigin(folder.path() / "another", std::string(400, 'x'));
  const BundleManifest other = ReadBundle(another).value();
  CHECK(shelf->Begin(other, "ann").ok());
  CHECK(shelf->Add(other.digest, "ann", 0, "<")->next_offset() == 1);
  CHECK(Delete(shelf.get(), there->digest).ok());
  // Bytes on their way count once.
  const auto large = MakeOrigin(folder.path() / "large", std::string(600, 'x'));
  const absl::Status over = shelf->Begin(ReadBundle(large).value(), "ann").status();
  CHECK(Contains(over, "would have 50182 bytes of bundles"));
  // The owner's own calls come after it.
  auto look = std::async(std::launch::async, [&] { return shelf->Get(pushed); });
  CHECK(look.wait_for(std::chrono::milliseconds(50)) == std::future_status::timeout);
  objects.go_on.count_down();
  CHECK(push.get().ok());
  CHECK(look.get().ok());
}

TEST_CASE("bundle shelf: a bucket that is away is waited for once, not by all who ask", "[unit]") {
  class CountingObjects : public MemoryObjects {
   public:
    absl::StatusOr<std::string> Get(const std::string& key, uint64_t bytes_max,
                                    const Cancel* cancel) override {
      ++gets;
      return MemoryObjects::Get(key, bytes_max, cancel);
    }
    int gets = 0;
  };
  const TempFolder folder;
  CountingObjects objects;
  const auto manifest =
      OpenShelf(folder.path(), 0, &objects)->AddFolder(MakeOrigin(folder.path() / "origin"), "ann");
  REQUIRE(manifest.ok());
  const auto shelf = OpenShelf(folder.path(), 0, &objects);
  objects.away = true;
  objects.gets = 0;
  CHECK(shelf->Get(manifest->digest).ok());
  CHECK(shelf->Find(manifest->digest).ok());
  CHECK(shelf->Check(Turn(shelf.get(), {manifest->digest})).ok());
  CHECK(objects.gets == 1);
}

TEST_CASE("bundle shelf: who waits for a bucket is let go when the shelf stops", "[unit]") {
  // Answers nobody.
  class DeadObjects : public MemoryObjects {
   public:
    absl::Status Put(const std::string& /*key*/, std::string_view /*bytes*/,
                     const Cancel* cancel) override {
      waiting.count_down();
      const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (!*cancel && std::chrono::steady_clock::now() < end) std::this_thread::yield();
      return *cancel ? absl::CancelledError("interrupted") : absl::OkStatus();
    }
    std::latch waiting{1};
  };
  const TempFolder folder;
  DeadObjects objects;
  const auto shelf = OpenShelf(folder.path(), 0, &objects);
  const auto origin = MakeOrigin(folder.path() / "origin");
  auto push = std::async(std::launch::async, [&] { return shelf->AddFolder(origin, "ann"); });
  objects.waiting.wait();
  shelf->Stop();
  const absl::Status ended = push.get().status();
  CHECK(absl::IsUnavailable(ended));
  CHECK(Contains(ended, "stopping"));
}

TEST_CASE("bundle shelf: pushes and removals of the same bundles at once", "[unit]") {
  const TempFolder folder;
  const auto shelf = OpenShelf(folder.path());
  std::vector<fs::path> origins;
  for (const char* name : {"a", "b", "c"})
    origins.push_back(MakeOrigin(folder.path() / name, std::string(100, *name)));
  std::vector<std::future<size_t>> workers;
  for (int worker = 0; worker < 4; ++worker) {
    workers.push_back(std::async(std::launch::async, [&, worker] {
      size_t wrong = 0;
      for (int i = 0; i < 30; ++i) {
        const fs::path& origin = origins[static_cast<size_t>(worker + i) % origins.size()];
        const auto manifest = shelf->AddFolder(origin, "ann");
        // Each pusher begins again if the push is removed on its way.
        wrong += !manifest.ok() && !absl::IsFailedPrecondition(manifest.status());
        const Turn both(shelf.get(), {ReadBundle(origins[0]).value().digest,
                                      ReadBundle(origins[1]).value().digest});
        const absl::Status there = shelf->Check(both);
        wrong += !there.ok() && !absl::IsFailedPrecondition(there);
        wrong += shelf->Check(both) != there;
      }
      return wrong;
    }));
  }
  std::future<size_t> remover = std::async(std::launch::async, [&] {
    size_t wrong = 0;
    for (int i = 0; i < 60; ++i) {
      const std::string digest = ReadBundle(origins[static_cast<size_t>(i) % 3]).value().digest;
      wrong += !Delete(shelf.get(), digest).ok();
      wrong += !shelf->List().ok();
    }
    return wrong;
  });
  for (auto& worker : workers) CHECK(worker.get() == 0);
  CHECK(remover.get() == 0);
  for (const fs::path& origin : origins) {
    const auto manifest = shelf->AddFolder(origin, "ann");
    REQUIRE(manifest.ok());
    CHECK(VerifyBundle(shelf->Find(manifest->digest).value()->folder(), manifest->digest).ok());
  }
  CHECK(fs::is_empty(folder.path() / "bundles/uploads"));
}

TEST_CASE("bundle shelf: what it shows is in the bucket", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const auto manifest = OpenShelf(folder.path())->AddFolder(origin, "ann");
  REQUIRE(manifest.ok());
  // The folder is older than the bucket.
  MemoryObjects objects;
  const auto shelf = OpenShelf(folder.path(), 0, &objects);
  CHECK(shelf->Check(Turn(shelf.get(), {manifest->digest})).ok());
  CHECK(objects.objects.size() == 2);
  const auto elsewhere = OpenShelf(folder.path() / "elsewhere", 0, &objects);
  CHECK(elsewhere->Find(manifest->digest).ok());
  // Another process leads and removes it; files in the first one's folder are not a bundle by
  // themselves.
  REQUIRE(Delete(elsewhere.get(), manifest->digest).ok());
  fs::remove_all(folder.path() / "bundles" / manifest->digest);
  CHECK(OpenShelf(folder.path(), 0, &objects)->List()->empty());
}

TEST_CASE("bundle shelf: backups have bundles", "[unit]") {
  const TempFolder folder;
  const auto origin = MakeOrigin(folder.path() / "origin");
  const fs::path state = folder.path() / "state";
  std::string digest;
  {
    const auto store = OpenStore(state).value();
    const auto shelf = OpenShelf(state);
    digest = shelf->AddFolder(origin, "ann").value().digest;
    // Half of another one is none.
    const auto other = MakeOrigin(folder.path() / "other", "leg");
    REQUIRE(shelf->Begin(ReadBundle(other).value(), "ann").ok());
  }
  REQUIRE(BackUp({.folder = state}, folder.path() / "backup").ok());
  REQUIRE(Restore(folder.path() / "backup", {.folder = folder.path() / "restored"}).ok());
  const auto shelf = OpenShelf(folder.path() / "restored");
  CHECK(shelf->List()->size() == 1);
  CHECK(shelf->Find(digest).ok());
  CHECK(shelf->Get(digest)->owner() == "ann");
  // Lost files are no backup.
  fs::remove(state / "bundles" / digest / "robot.xml");
  CHECK(absl::IsDataLoss(BackUp({.folder = state}, folder.path() / "second").status()));
}

}  // namespace mentor::TEST_FILE
