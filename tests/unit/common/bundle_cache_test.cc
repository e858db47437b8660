#include "common/bundle_cache.h"

#include <atomic>
#include <fstream>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "common/failpoint.h"
#include "common/hash.h"
#include "common/status.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::TempFolder;
namespace fs = std::filesystem;

// A bundle elsewhere, of two files.
class Origin {
 public:
  Origin(fs::path folder, const std::string& contents) : folder_(std::move(folder)) {
    fs::create_directories(folder_ / "meshes");
    std::ofstream(folder_ / "robot.xml") << "<mujoco/>";
    std::ofstream(folder_ / "meshes/arm.stl") << contents;
    manifest_ = ReadBundle(folder_).value();
  }
  const std::string& digest() const { return manifest_.digest; }
  uint64_t bytes() const { return manifest_.bytes(); }
  BundleCache::Fetch fetch(std::atomic<int>* calls = nullptr) const {
    return [this, calls](const std::string&) -> absl::StatusOr<BundleCache::Fetched> {
      if (calls != nullptr) ++*calls;
      return BundleCache::Fetched{.manifest = manifest_,
                                  .source = FolderSource(folder_, manifest_)};
    };
  }

 private:
  const fs::path folder_;
  BundleManifest manifest_;
};

std::unique_ptr<BundleCache> OpenCache(const fs::path& folder, uint64_t bytes_max = 1 << 20) {
  return BundleCache::Open({.folder = folder, .bytes_max = bytes_max}).value();
}

std::vector<std::string> Names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

// The order of use follows the clock's ticks, which may be coarse.
void UsedAt(const fs::path& bundle, int seconds_ago) {
  fs::last_write_time(bundle, fs::file_time_type::clock::now() - std::chrono::seconds(seconds_ago));
}

TEST_CASE("bundle cache: fetched once and found again by later processes", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", "arm");
  std::atomic<int> calls = 0;
  {
    const auto cache = OpenCache(folder.path() / "cache");
    CHECK(cache->Find(origin.digest()).status().code() == absl::StatusCode::kNotFound);
    const auto first = cache->FindOrFetch(origin.digest(), origin.fetch(&calls));
    REQUIRE(first.ok());
    CHECK((*first)->manifest().digest == origin.digest());
    CHECK(VerifyBundle((*first)->folder(), origin.digest()).ok());
    CHECK(cache->FindOrFetch(origin.digest(), origin.fetch(&calls)).ok());
  }
  const auto cache = OpenCache(folder.path() / "cache");
  CHECK(cache->Find(origin.digest()).ok());
  CHECK(calls == 1);
  CHECK(Names(folder.path() / "cache") == std::vector<std::string>{origin.digest()});
  CHECK(cache->Find("../cache").status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("bundle cache: threads that want the same one wait for one fetch", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", std::string(100'000, 'x'));
  const auto cache = OpenCache(folder.path() / "cache");
  std::atomic<int> calls = 0, good = 0;
  std::vector<std::shared_ptr<const HeldBundle>> held(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < held.size(); ++i) {
    threads.emplace_back([&, i] {
      auto found = cache->FindOrFetch(origin.digest(), origin.fetch(&calls));
      if (!found.ok()) return;
      held[i] = *found;
      ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 8);
  CHECK(calls == 1);
}

TEST_CASE("bundle cache: what cannot be fetched is an error for all that wait", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", "arm");
  const Origin other(folder.path() / "other", "leg");
  const auto cache = OpenCache(folder.path() / "cache");
  const auto away = cache->FindOrFetch(
      origin.digest(), [](const std::string&) -> absl::StatusOr<BundleCache::Fetched> {
        return absl::UnavailableError("nobody there");
      });
  CHECK(away.status().code() == absl::StatusCode::kUnavailable);
  CHECK(cache->FindOrFetch(origin.digest(), other.fetch()).status().code() ==
        absl::StatusCode::kDataLoss);
  CHECK(Names(folder.path() / "cache").empty());
  CHECK(cache->FindOrFetch(origin.digest(), origin.fetch()).ok());
}

TEST_CASE("bundle cache: a fetch that ends at its very end leaves nothing", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", "arm");
  const auto cache = OpenCache(folder.path() / "cache");
  REQUIRE(failpoint::Arm("bundle_cache.before_rename=1:error(full)").ok());
  CHECK(absl::IsUnavailable(cache->FindOrFetch(origin.digest(), origin.fetch()).status()));
  REQUIRE(failpoint::Arm("").ok());
  CHECK(absl::IsNotFound(cache->Find(origin.digest()).status()));
  for (const std::string& name : Names(folder.path() / "cache")) CHECK(name.starts_with("."));
  CHECK(cache->FindOrFetch(origin.digest(), origin.fetch()).ok());
}

TEST_CASE("bundle cache: a damaged one is removed and fetched again", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", "arm");
  const auto cache = OpenCache(folder.path() / "cache");
  REQUIRE(cache->FindOrFetch(origin.digest(), origin.fetch()).ok());
  const fs::path mesh = folder.path() / "cache" / origin.digest() / "meshes/arm.stl";
  std::ofstream(mesh) << "arx";
  CHECK(cache->Find(origin.digest()).status().code() == absl::StatusCode::kNotFound);
  CHECK(Names(folder.path() / "cache").empty());
  REQUIRE(cache->FindOrFetch(origin.digest(), origin.fetch()).ok());
  fs::remove(mesh);
  std::atomic<int> calls = 0;
  CHECK(cache->FindOrFetch(origin.digest(), origin.fetch(&calls)).ok());
  CHECK(calls == 1);
  CHECK(fs::exists(mesh));
}

TEST_CASE("bundle cache: it may be emptied while its bundles are in use", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", "arm");
  const fs::path path = folder.path() / "cache";
  const auto cache = OpenCache(path);
  std::atomic<int> calls = 0;
  const auto held = cache->FindOrFetch(origin.digest(), origin.fetch(&calls));
  REQUIRE(held.ok());
  CHECK(*cache->Find(origin.digest()) == *held);
  fs::remove_all(path / origin.digest());
  CHECK(absl::IsNotFound(cache->Find(origin.digest()).status()));
  const auto again = cache->FindOrFetch(origin.digest(), origin.fetch(&calls));
  REQUIRE(again.ok());
  CHECK(fs::exists((*again)->folder() / "robot.xml"));
  fs::remove_all(path);
  CHECK(cache->FindOrFetch(origin.digest(), origin.fetch(&calls)).ok());
  CHECK(calls == 3);
}

TEST_CASE("bundle cache: what was used longest ago goes and what is in use stays", "[unit]") {
  const TempFolder folder;
  const Origin a(folder.path() / "a", std::string(1000, 'a'));
  const Origin b(folder.path() / "b", std::string(1000, 'b'));
  const Origin c(folder.path() / "c", std::string(1000, 'c'));
  const fs::path path = folder.path() / "cache";
  const auto cache = OpenCache(path, 2 * a.bytes());
  REQUIRE(cache->FindOrFetch(a.digest(), a.fetch()).ok());
  REQUIRE(cache->FindOrFetch(b.digest(), b.fetch()).ok());
  UsedAt(path / a.digest(), 20);
  UsedAt(path / b.digest(), 10);
  SECTION("by use") {
    REQUIRE(cache->Find(a.digest()).ok());
    REQUIRE(cache->FindOrFetch(c.digest(), c.fetch()).ok());
    CHECK(cache->Find(a.digest()).ok());
    CHECK(absl::IsNotFound(cache->Find(b.digest()).status()));
  }
  SECTION("not while it is held, by another process of the folder too") {
    const auto other = OpenCache(path, 2 * a.bytes());
    const auto held = other->Find(a.digest());
    REQUIRE(held.ok());
    UsedAt(path / a.digest(), 20);
    REQUIRE(cache->FindOrFetch(c.digest(), c.fetch()).ok());
    CHECK(fs::exists((*held)->folder() / "robot.xml"));
    CHECK(absl::IsNotFound(cache->Find(b.digest()).status()));
  }
  SECTION("full of what is in use") {
    const auto held_a = cache->Find(a.digest()), held_b = cache->Find(b.digest());
    const auto full = cache->FindOrFetch(c.digest(), c.fetch());
    REQUIRE(full.status().code() == absl::StatusCode::kResourceExhausted);
    CHECK_THAT(std::string(full.status().message()), Catch::Contains("--bundle_cache_mb"));
    CHECK(RetryDelayOf(full.status()));
    CHECK(Names(path).size() == 2);
  }
  SECTION("larger than all") {
    const Origin large(folder.path() / "large", std::string(5000, 'x'));
    const absl::Status status = cache->FindOrFetch(large.digest(), large.fetch()).status();
    CHECK(status.code() == absl::StatusCode::kResourceExhausted);
    CHECK_FALSE(RetryDelayOf(status));
    CHECK(Names(path).size() == 2);  // Nothing is removed for a bundle that does not fit anyway.
  }
}

TEST_CASE("bundle cache: a folder of another user is refused", "[unit]") {
  const TempFolder folder;
  const auto cache = folder.path() / "mentor-bundles-0";
  std::filesystem::create_directory(cache);
  REQUIRE(BundleCache::Open({.folder = cache}).ok());
  if (chown(cache.c_str(), 12345, 12345) != 0) return;  // Only root may.
  const auto opened = BundleCache::Open({.folder = cache});
  CHECK(absl::IsFailedPrecondition(opened.status()));
  CHECK(Contains(opened.status(), "belongs to user 12345"));
  CHECK(Contains(opened.status(), "--bundle_cache"));
  std::filesystem::create_directory_symlink(cache, folder.path() / "link");
  CHECK_FALSE(BundleCache::Open({.folder = folder.path() / "link"}).ok());
}

TEST_CASE("bundle cache: processes share a folder and a killed writer leaves nothing for long",
          "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", std::string(100'000, 'x'));
  const fs::path path = folder.path() / "cache";
  // Dies in the middle of a bundle, as by kill -9.
  const pid_t killed = fork();
  if (killed == 0) {
    auto cache = BundleCache::Open({.folder = path});
    const auto fetch = origin.fetch();
    (void)(*cache)->FindOrFetch(
        origin.digest(), [&](const std::string& digest) -> absl::StatusOr<BundleCache::Fetched> {
          auto fetched = fetch(digest);
          fetched->source = [source = fetched->source](uint64_t offset) {
            if (offset > 0) _exit(9);
            auto piece = source(offset);
            piece->resize(1000);
            return piece;
          };
          return fetched;
        });
    _exit(1);
  }
  int status = 0;
  REQUIRE(waitpid(killed, &status, 0) == killed);
  REQUIRE(WEXITSTATUS(status) == 9);
  REQUIRE(Names(path).size() == 1);
  REQUIRE(Names(path)[0].starts_with("." + origin.digest()));
  // Several processes at once, each with its own cache object.
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      auto cache = BundleCache::Open({.folder = path});
      const bool ok = cache.ok() && (*cache)->FindOrFetch(origin.digest(), origin.fetch()).ok();
      _exit(ok ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
  }
  CHECK(Names(path) == std::vector<std::string>{origin.digest()});
  CHECK(OpenCache(path)->Find(origin.digest()).ok());
}

TEST_CASE("bundle finder: a process says where its bundles are", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", "arm");
  const std::string name = BundleName(origin.digest());
  SetBundleFinder(nullptr);
  CHECK(FindBundle(name).status().code() == absl::StatusCode::kFailedPrecondition);
  CHECK(FindBundle("robot").status().code() == absl::StatusCode::kInvalidArgument);
  const auto offered = OfferFolder(folder.path() / "origin");
  REQUIRE(offered.ok());
  CHECK(offered->digest == origin.digest());
  const auto found = FindBundle(name);
  REQUIRE(found.ok());
  CHECK((*found)->folder() == folder.path() / "origin");
  const Origin second(folder.path() / "second", "leg");
  CHECK(absl::IsNotFound(FindBundle(BundleName(second.digest())).status()));
  REQUIRE(OfferFolder(folder.path() / "second").ok());
  CHECK(FindBundle(BundleName(second.digest())).ok());
  CHECK(FindBundle(name).ok());
  SetBundleFinder(nullptr);
}

TEST_CASE("bundle finder: what is damaged in a run is found where somebody says it is", "[unit]") {
  const TempFolder folder;
  const Origin origin(folder.path() / "origin", "arm");
  const std::string name = BundleName(origin.digest());
  const fs::path kept = folder.path() / "run" / origin.digest();
  fs::create_directory(folder.path() / "run");
  fs::copy(folder.path() / "origin", kept, fs::copy_options::recursive);
  std::ofstream(kept / "robot.xml") << "<other/>";
  SetBundleFinder(nullptr);
  OfferBundlesIn(folder.path() / "run");
  const absl::Status damaged = FindBundle(name).status();
  CHECK(absl::IsDataLoss(damaged));
  CHECK_THAT(std::string(damaged.message()), Catch::Contains("--bundle"));
  SetBundleFinder(nullptr);
  REQUIRE(OfferFolder(folder.path() / "origin").ok());
  OfferBundlesIn(folder.path() / "run");
  const auto found = FindBundle(name);
  REQUIRE(found.ok());
  CHECK((*found)->folder() == folder.path() / "origin");
  SetBundleFinder(nullptr);
}

}  // namespace mentor::TEST_FILE
