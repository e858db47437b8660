// The meta-learner's store, in three parts over one database: records of experiments, their results
// and their files. One process owns a state folder. With PostgreSQL several may share it: one leads
// (lease.h) and the others read. Callers take the part that they use. Thread-safe.
//
//   STATE/                  mode 0700
//     LOCK                  flock: one process at a time, or those of one PostgreSQL database
//     STORE                 with PostgreSQL: the identity of the store that the folder belongs to
//     FORMAT                "mentor-state 1"
//     mentor.db -wal -shm   SQLite, unless the database is elsewhere (Options.database)
//     reserve               keeps room for deletions on a full disk (scheduling/disk_guard.h)
//     experiments/UID/      made by Create:
//       experiment.txtpb    name, owner, settings and spec as created, for Reindex
//                           from its first run on:
//       spec.txtpb          as submitted
//       merged.txtpb        with every default
//       checkpoints/        meta_learner/store/checkpoint.h
//       log.jsonl           log lines about it
//     bundles/              meta_learner/store/bundle_shelf.h
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/v1/experiment.pb.h"
#include "meta_learner/objects/object_store.h"
#include "meta_learner/store/records.h"
#include "meta_learner/store/results.h"
#include "meta_learner/store/run_files.h"

namespace mentor::meta_learner {

struct Store {
  Store(std::unique_ptr<StoreDatabase> opened, std::filesystem::path folder,
        std::shared_ptr<ObjectStore> objects);
  ~Store();

  // Returns OK if this process may answer for the store. Returns UNAVAILABLE NOT_LEADER while it
  // cannot know, and for good once another process leads. Check before the use of state in memory;
  // transactions check on their own.
  absl::Status Leads() { return files.Leads(); }
  // Publishes the address of this leader for standbys.
  void Advertise(const std::string& address);

  const std::unique_ptr<StoreDatabase> database;
  RunFiles files;
  Records records;
  Results results;
};

struct StoreOptions {
  std::filesystem::path folder;
  // "postgresql://..." (store/postgres.h); empty: SQLite in the folder.
  std::string database = {};
  // Durable copies of checkpoints and artifacts; null: the folder has the only copies.
  std::shared_ptr<ObjectStore> objects = {};
  // Called when another meta-learner has taken over the database: from then on nothing can be
  // written. Called from any thread, more than once, under locks: must not call back.
  std::function<void(const absl::Status&)> on_lost = {};
  // The rest is for PostgreSQL. Address to publish for this process.
  std::string advertise = {};
  // Return IN_USE at once, without waiting for a predecessor that is about to end.
  bool try_only = false;
};

// Opens or creates the state folder; refuses a foreign folder. Returns DATA_LOSS when folders or
// objects of experiments have no row in the database: use Reindex. Returns FAILED_PRECONDITION
// IN_USE when another process uses the folder, TOO_NEW when a newer program wrote it.
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const StoreOptions& options);
absl::StatusOr<std::unique_ptr<Store>> OpenStore(const std::filesystem::path& state_folder);

// Opens a store that reads what another process commits, for a standby or a report. Callers must
// not change it; a store in PostgreSQL answers changes with NOT_LEADER. Returns UNAVAILABLE while
// the database has no schema, or an older one that the next leader will migrate.
absl::StatusOr<std::unique_ptr<Store>> OpenStoreToRead(const StoreOptions& options);

// What Reindex did with one folder.
struct Reindexed {
  std::string uid;
  v1::Experiment experiment;  // The restored experiment.
  std::string spec_from;      // What its spec was taken from, and why it is believed.
  absl::Status status;        // Error if not restored; then its folder is in STATE/lost/.
};
// Writes new rows for experiment folders whose row is missing or unreadable, from the files in them
// and in the bucket. The spec is the one whose hash the whole checkpoints have. The experiments
// become PAUSED at the newest whole checkpoint. Metrics are lost, since folders do not hold them.
// Returns the results by UID.
absl::StatusOr<std::vector<Reindexed>> Reindex(const StoreOptions& options);

}  // namespace mentor::meta_learner
