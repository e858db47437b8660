// The experiments of several state folders in one store, to look at them together. The store is a
// copy in a folder of its own; Look() brings it up to date. The files of experiments stay where
// they are, and links lead to them. State folders are only read: no lock is taken, no file is made
// or changed, no schema is migrated, and another process may work on them. One thread; the store is
// thread-safe.
//
//   GatheredRuns runs(&store);                        // Of a new, empty folder.
//   status = runs.Add("runs/reach", "reach");
//   ...every second: runs.Look();
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

class GatheredRuns {
 public:
  // The store must outlive this object.
  explicit GatheredRuns(Store* store) : store_(store) {}

  // Adds the experiments of a state folder. One with the id "run", as `mentor run` gives it, is
  // named after `name`; numbers make names unique. Adds nothing on an error: NOT_FOUND without a
  // state folder, ALREADY_EXISTS for a copy of one that was added, FAILED_PRECONDITION for a folder
  // of another version.
  absl::Status Add(const std::filesystem::path& state, const std::string& name);
  // Copies what has changed. Returns the first error; the folder is tried again next time.
  absl::Status Look();

 private:
  // What shows that a folder may have changed.
  struct Mark {
    std::filesystem::file_time_type database, log;
    uintmax_t log_bytes = 0;
    bool at_work = false;  // A process holds the folder's lock.
    bool operator==(const Mark&) const = default;
  };
  struct Source {
    std::filesystem::path state;
    std::string name;
    Mark mark = {};
  };
  struct Known {
    std::filesystem::path state;
    std::string id;
    int64_t last_step = 0;  // Points before it are copied.
  };

  // Inodes of the files on which processes hold locks.
  static std::set<uint64_t> LockedFiles();
  static Mark MarkOf(const std::filesystem::path& state, const std::set<uint64_t>& locked);
  // Copies a folder as it is now or later, and marks it.
  absl::Status Copy(const Mark& mark, Source* source);
  // Returns a legal id, made of `name`, that no known experiment has.
  static std::string NewId(const std::string& name, const std::map<std::string, Known>& known);

  Store* const store_;
  std::vector<Source> sources_;
  std::map<std::string, Known> known_;  // By UID.
};

}  // namespace mentor::meta_learner
