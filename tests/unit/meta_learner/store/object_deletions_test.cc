// What a deletion removes from the bucket: in which order, again after failures, and also when it
// becomes pending during a pass.
#include "meta_learner/store/object_deletions.h"

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "tests/objects.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using Strings = std::vector<std::string>;

constexpr auto kPatience = std::chrono::seconds(30);

// Remembers what it deleted, in order.
class Bucket : public testing::MemoryObjects {
 public:
  absl::Status Delete(const std::string& key, const Cancel* cancel) override {
    deleted.push_back(key);
    return MemoryObjects::Delete(key, cancel);
  }
  Strings deleted;
};

// A list of deletions as the database keeps it. A pass that has read the list can be held up.
class Deletions {
 public:
  ObjectDeletions::Pending Pending() {
    return [this]() -> absl::StatusOr<Strings> {
      MutexLock lock(mutex_);
      const Strings read = pending_;
      ++reads_;
      changed_.NotifyAll();
      changed_.WaitFor(lock, kPatience,
                       [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !held_; });
      return read;
    };
  }
  ObjectDeletions::Done Done() {
    return [this](const std::string& uid) {
      const MutexLock lock(mutex_);
      done_.push_back(uid);
      std::erase(pending_, uid);
      changed_.NotifyAll();
      return std::exchange(fails_, false) ? absl::UnavailableError("away") : absl::OkStatus();
    };
  }
  void Add(const std::string& uid) {
    const MutexLock lock(mutex_);
    pending_.push_back(uid);
  }
  void Hold(bool held) {
    const MutexLock lock(mutex_);
    held_ = held;
    changed_.NotifyAll();
  }
  void FailNext() {
    const MutexLock lock(mutex_);
    fails_ = true;
  }
  bool WaitForReads(int reads) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(
        lock, kPatience, [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return reads_ >= reads; });
  }
  bool WaitForDone(const Strings& uids) {
    MutexLock lock(mutex_);
    return changed_.WaitFor(lock, kPatience,
                            [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return done_ == uids; });
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  Strings pending_ ABSL_GUARDED_BY(mutex_), done_ ABSL_GUARDED_BY(mutex_);
  int reads_ ABSL_GUARDED_BY(mutex_) = 0;
  bool held_ ABSL_GUARDED_BY(mutex_) = false, fails_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST_CASE("object deletions: what a crash left is removed at once, manifests first, others stay",
          "[unit]") {
  Bucket bucket;
  for (const char* key : {"a/artifacts/x", "a/checkpoints/00000001", "a/parts/00000001-s-0000",
                          "ab/parts/00000001-s-0000"})
    bucket.objects[std::string("experiments/") + key] = "x";
  Deletions list;
  list.Add("a");
  {
    const ObjectDeletions deletions(&bucket, list.Pending(), list.Done());
    REQUIRE(list.WaitForDone({"a"}));
  }
  CHECK(bucket.deleted == Strings{"experiments/a/checkpoints/00000001", "experiments/a/artifacts/x",
                                  "experiments/a/parts/00000001-s-0000"});
  CHECK(bucket.objects.size() == 1);
}

TEST_CASE("object deletions: one that becomes pending during a pass is in the next", "[unit]") {
  Bucket bucket;
  Deletions list;
  list.Add("a");
  list.Hold(true);
  {
    ObjectDeletions deletions(&bucket, list.Pending(), list.Done());
    REQUIRE(list.WaitForReads(1));
    list.Add("b");
    deletions.Wake();
    list.Hold(false);
    CHECK(list.WaitForDone({"a", "b"}));
    // Asleep again: only a new deletion wakes it.
    list.Add("c");
    deletions.Wake();
    CHECK(list.WaitForDone({"a", "b", "c"}));
  }
}

TEST_CASE("object deletions: what failed is tried again by itself", "[unit]") {
  Bucket bucket;
  bucket.objects["experiments/a/x"] = "x";
  Deletions list;
  list.Add("a");
  list.Add("b");
  list.FailNext();
  {
    const ObjectDeletions deletions(&bucket, list.Pending(), list.Done());
    CHECK(list.WaitForDone({"a", "b"}));
  }
  CHECK(bucket.objects.empty());
}

TEST_CASE("object deletions: a bucket that is away does not delay the end", "[unit]") {
  Bucket bucket;
  bucket.objects["experiments/a/x"] = "x";
  bucket.away = true;
  Deletions list;
  list.Add("a");
  {
    const ObjectDeletions deletions(&bucket, list.Pending(), list.Done());
    REQUIRE(list.WaitForReads(1));
  }
  CHECK(list.WaitForDone({}));  // Nothing was said to be deleted.
  CHECK(bucket.objects.size() == 1);
}

}  // namespace mentor::meta_learner::TEST_FILE
