// Reads all experiments at one revision, and the changes after it; tells subscribers of changes.
#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/log.h"
#include "meta_learner/store/paging.h"
#include "meta_learner/store/row_digest.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {
namespace {

void LogUnreadable(int64_t revision) {
  MENTOR_LOG_EVERY(std::chrono::seconds(60), kError,
                   "a stored change cannot be read; watchers do not hear of it",
                   {{"revision", revision}});
}

// Gives each change of an existing experiment the spec, which only the experiment's row has. Drops
// changes whose row cannot be read, and those that find no room.
absl::Status AddSpecs(StoreDatabase* database, PageRoom room, std::vector<StoreEvent>* events)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(database->reader_mutex) {
  // By UID; null: the row cannot be read.
  std::map<std::string, std::optional<v1::ExperimentSpec>> specs;
  std::vector<StoreEvent> readable;
  for (StoreEvent& event : *events) {
    const std::string& uid = event.experiment.uid();
    auto known = specs.find(uid);
    if (known == specs.end()) {
      auto row = database->reader->Query(sql::Select("experiments", "WHERE uid = ?"), uid);
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      known = specs.emplace(uid, v1::ExperimentSpec()).first;
      if (found) {
        v1::Experiment experiment;
        MENTOR_ASSIGN_OR_RETURN(const bool is_readable, database->Read(row, &experiment));
        known->second.reset();
        if (is_readable) known->second = std::move(*experiment.mutable_spec());
      }
    }
    if (!known->second) {
      LogUnreadable(event.revision);
      continue;
    }
    // A deletion has its own.
    if (!event.experiment.has_spec() && known->second->ByteSizeLong() > 0)
      *event.experiment.mutable_spec() = *known->second;
    if (!room.Take(event.experiment.SpaceUsedLong())) break;
    readable.push_back(std::move(event));
  }
  *events = std::move(readable);
  return absl::OkStatus();
}

// Some databases send all rows of an answer at once, so a piece asks for few.
constexpr int kPieceRows = 16;

}  // namespace

absl::StatusOr<Records::Snapshot> Records::ReadSnapshot(const std::set<std::string>& names,
                                                        std::string_view after) {
  Snapshot snapshot;
  std::string first;
  if (!after.empty()) {
    MENTOR_ASSIGN_OR_RETURN(first, sql::RequireId(after));
  }
  const MutexLock lock(database_->reader_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction,
                          sql::Transaction::BeginRead(database_->reader.get()));
  MENTOR_ASSIGN_OR_RETURN(snapshot.revision, StoreDatabase::RevisionOf(database_->reader.get()));
  PageRoom room(kPieceRows, kPieceBytesMax);
  if (!names.empty()) {
    for (auto name = names.upper_bound(std::string(after)); name != names.end(); ++name) {
      MENTOR_ASSIGN_OR_RETURN(const std::string id, sql::RequireId(*name));
      auto experiment = database_->GetWith(database_->reader.get(), id);
      if (absl::IsNotFound(experiment.status())) continue;
      MENTOR_RETURN_IF_ERROR(experiment.status());
      if (!room.Take(experiment->SpaceUsedLong())) return snapshot;
      snapshot.last = *name;
      snapshot.experiments.push_back(*std::move(experiment));
    }
    snapshot.last.clear();
    return snapshot;
  }
  auto row = database_->reader->Query(
      sql::Select("experiments", "WHERE id > ? ORDER BY id LIMIT ?"), first, kPieceRows);
  for (int rows = 0; rows < kPieceRows; ++rows) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) {
      snapshot.last.clear();
      return snapshot;
    }
    v1::Experiment experiment;
    MENTOR_ASSIGN_OR_RETURN(const bool readable, database_->Read(row, &experiment));
    if (!room.Take(readable ? experiment.SpaceUsedLong() : 0)) return snapshot;
    snapshot.last = ExperimentName(row.Text(sql::kIdColumn));
    if (readable) snapshot.experiments.push_back(std::move(experiment));
  }
  return snapshot;
}

absl::StatusOr<std::vector<StoreEvent>> Records::Events(int64_t after_revision, int limit) {
  std::vector<StoreEvent> events;
  const MutexLock lock(database_->reader_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction,
                          sql::Transaction::BeginRead(database_->reader.get()));
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision,
                          StoreDatabase::RevisionOf(database_->reader.get()));
  MENTOR_ASSIGN_OR_RETURN(
      const int64_t compacted,
      database_->reader->Number("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'compacted'"));
  if (after_revision < compacted || after_revision > revision) {
    return MakeError(Reason::kWatchCompacted,
                     "the changes after this resume_token are not kept any more: list again, the "
                     "answer has a new token",
                     {{"oldest_revision", absl::StrCat(compacted)}});
  }
  auto rows = database_->reader->Query(
      sql::Select("events", "WHERE revision > ? ORDER BY revision LIMIT ?"), after_revision, limit);
  MENTOR_RETURN_IF_ERROR(rows.ForEach([&](const sql::Query& row) {
    StoreEvent event{.revision = row.Integer(0),
                     .kind = static_cast<StoreEvent::Kind>(row.Integer(2)),
                     .experiment = {}};
    if (sql::IsProved(sql::TableOf("events"), row) &&
        event.experiment.ParseFromString(row.Text(4))) {
      events.push_back(std::move(event));
    } else {
      LogUnreadable(event.revision);
    }
  }));
  MENTOR_RETURN_IF_ERROR(AddSpecs(database_, PageRoom(limit, kPieceBytesMax), &events));
  return events;
}

const std::string& Records::store_uid() const {
  return database_->store_uid;
}

absl::StatusOr<int64_t> Records::Revision() {
  const MutexLock lock(database_->reader_mutex);
  return StoreDatabase::RevisionOf(database_->reader.get());
}

absl::Status Records::CompactEvents(int64_t keep, int64_t older_than_ns) {
  const MutexLock lock(database_->writer_mutex);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, database_->BeginWriting());
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision,
                          StoreDatabase::RevisionOf(database_->writer.get()));
  MENTOR_ASSIGN_OR_RETURN(const int64_t late, database_->writer->Number(
                                                  "SELECT MAX(revision) FROM events WHERE time < ?",
                                                  StoreDatabase::NowNs() - older_than_ns));
  const int64_t last_gone = std::max({int64_t{0}, revision - keep, late});
  MENTOR_ASSIGN_OR_RETURN(
      const bool found,
      database_->writer->Query("SELECT 1 FROM events WHERE revision <= ? LIMIT 1", last_gone)
          .Step());
  if (!found) return absl::OkStatus();
  MENTOR_RETURN_IF_ERROR(
      database_->writer->Run("DELETE FROM events WHERE revision <= ?", last_gone));
  MENTOR_RETURN_IF_ERROR(
      database_->writer->Run("INSERT INTO meta(key, value) VALUES('compacted', ?) ON "
                             "CONFLICT(key) DO UPDATE SET value = excluded.value",
                             std::to_string(last_gone)));
  return writing->Commit();
}

ChangeHub::Subscription::~Subscription() {
  {
    const MutexLock lock(entry_->mutex);
    entry_->callback = nullptr;
  }
  if (const auto hub = hub_.lock()) {
    const MutexLock lock(hub->mutex_);
    std::erase(hub->entries_, entry_);
  }
}

std::unique_ptr<ChangeHub::Subscription> ChangeHub::Add(Callback callback) {
  const auto entry = std::make_shared<Entry>(std::move(callback));
  const MutexLock lock(mutex_);
  entries_.push_back(entry);
  return std::make_unique<Subscription>(weak_from_this(), entry);
}

void ChangeHub::Notify(const Notice& notice) {
  std::vector<std::shared_ptr<Entry>> entries;
  {
    const MutexLock lock(mutex_);
    entries = entries_;
  }
  for (const auto& entry : entries) {
    const MutexLock lock(entry->mutex);
    if (entry->callback) entry->callback(notice);
  }
}

}  // namespace mentor::meta_learner
