#include "meta_learner/store.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <mutex>
#include <tuple>

#include <absl/strings/escaping.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/sqlite.h"

namespace mentor::meta_learner {

// ---- The state machine.
//
//   from        to            by
//   -           QUEUED        Create
//   QUEUED      RUNNING       scheduler
//   QUEUED      PAUSED        user
//   QUEUED      CANCELLED     user
//   RUNNING     PAUSED        user, or no room on the disk
//   RUNNING     CANCELLING    user
//   RUNNING     SUCCEEDED     all work done
//   RUNNING     FAILED        an error that time does not cure
//   PAUSED      QUEUED        user
//   PAUSED      CANCELLED     user
//   CANCELLING  CANCELLED     scheduler
//   CANCELLING  SUCCEEDED     the work was done before the cancellation arrived
//   CANCELLING  FAILED        it failed before the cancellation arrived
namespace {

using S = v1::Experiment;

constexpr std::array<std::pair<State, State>, 12> kTransitions = {{
    {S::STATE_QUEUED, S::STATE_RUNNING},
    {S::STATE_QUEUED, S::STATE_PAUSED},
    {S::STATE_QUEUED, S::STATE_CANCELLED},
    {S::STATE_RUNNING, S::STATE_PAUSED},
    {S::STATE_RUNNING, S::STATE_CANCELLING},
    {S::STATE_RUNNING, S::STATE_SUCCEEDED},
    {S::STATE_RUNNING, S::STATE_FAILED},
    {S::STATE_PAUSED, S::STATE_QUEUED},
    {S::STATE_PAUSED, S::STATE_CANCELLED},
    {S::STATE_CANCELLING, S::STATE_CANCELLED},
    {S::STATE_CANCELLING, S::STATE_SUCCEEDED},
    {S::STATE_CANCELLING, S::STATE_FAILED},
}};

}  // namespace

bool IsFinal(State state) {
  return state == S::STATE_CANCELLED || state == S::STATE_SUCCEEDED || state == S::STATE_FAILED;
}

bool IsLegalTransition(State from, State to) {
  return std::find(kTransitions.begin(), kTransitions.end(), std::pair(from, to)) !=
         kTransitions.end();
}

std::string_view StateText(State state) {
  const std::string& name = v1::Experiment_State_Name(state);
  return name.empty() ? "UNKNOWN"
                      : std::string_view(name).substr(std::string_view("STATE_").size());
}

namespace {

bool IsAtWork(State state) {
  return state == S::STATE_RUNNING || state == S::STATE_CANCELLING;
}

constexpr int kPageSizeDefault = 50;
constexpr int kPageSizeMax = 1000;
constexpr int64_t kRequestKeptNs = int64_t{24} * 3600 * 1'000'000'000;
constexpr std::string_view kFormat = "mentor-state 1\n";

// Schema, one entry a version: entry i leads from version i to i + 1. Entries are never changed,
// only added.
constexpr std::string_view kMigrations[] = {R"sql(
CREATE TABLE meta(
  key TEXT PRIMARY KEY,
  value NOT NULL) WITHOUT ROWID;
CREATE TABLE experiments(
  number INTEGER PRIMARY KEY AUTOINCREMENT,  -- Order of creation.
  uid TEXT NOT NULL UNIQUE,
  id TEXT NOT NULL UNIQUE,
  submitted_spec BLOB NOT NULL,              -- mentor.v1.ExperimentSpec
  spec BLOB NOT NULL,                        -- The same with every default.
  spec_hash TEXT NOT NULL,
  state INTEGER NOT NULL,                    -- mentor.v1.Experiment.State
  error TEXT NOT NULL DEFAULT '',
  progress BLOB NOT NULL DEFAULT x'',        -- mentor.v1.Progress
  create_time INTEGER NOT NULL,              -- Nanoseconds of Unix time, here and below.
  update_time INTEGER NOT NULL,
  start_time INTEGER NOT NULL DEFAULT 0,     -- 0: not yet.
  end_time INTEGER NOT NULL DEFAULT 0,
  revision INTEGER NOT NULL);                -- Of the store, when the row last changed.
CREATE INDEX experiments_by_state ON experiments(state, number);
CREATE TABLE requests(
  request_id TEXT PRIMARY KEY,
  body_hash TEXT NOT NULL,
  response BLOB NOT NULL,                    -- mentor.v1.Experiment as it was answered.
  expire_time INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX requests_by_expire_time ON requests(expire_time);
CREATE TABLE checkpoints(
  uid TEXT NOT NULL REFERENCES experiments(uid) ON DELETE CASCADE,
  outer_step INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  sha256 TEXT NOT NULL,
  state_hash TEXT NOT NULL,
  create_time INTEGER NOT NULL,
  PRIMARY KEY(uid, outer_step)) WITHOUT ROWID;
CREATE TABLE points(
  uid TEXT NOT NULL REFERENCES experiments(uid) ON DELETE CASCADE,
  metric TEXT NOT NULL,
  step INTEGER NOT NULL,
  value REAL,                                -- NULL: not a number.
  PRIMARY KEY(uid, metric, step)) WITHOUT ROWID;
)sql"};
constexpr int kSchemaVersion = static_cast<int>(std::size(kMigrations));

constexpr char kColumns[] =
    "uid, id, spec, state, error, progress, create_time, update_time, start_time, end_time, "
    "revision";

int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// "experiments/{id}" -> id; nothing when it is not of that form.
std::optional<std::string> IdOfName(std::string_view name) {
  constexpr std::string_view kPrefix = "experiments/";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  if (name.empty() || name.size() > 63 || name.find('/') != name.npos) return std::nullopt;
  return std::string(name);
}

absl::Status NoSuchExperiment(std::string_view name) {
  const std::string shown(name.substr(0, 100));
  return MakeError(
      absl::StatusCode::kNotFound, Reason::kNotFound,
      absl::StrFormat("there is no experiment '%s'; ListExperiments names those that there are",
                      shown),
      {{"name", shown}});
}

absl::StatusOr<std::string> RequireId(std::string_view name) {
  auto id = IdOfName(name);
  if (!id) return NoSuchExperiment(name);
  return *std::move(id);
}

absl::Status Hit(const std::optional<std::string>& error) {
  return error ? absl::UnavailableError("failpoint: " + *error) : absl::OkStatus();
}

// key "\n" CRC32C of key, in web-safe base64.
std::string MakePageToken(const std::string& key) {
  return absl::WebSafeBase64Escape(absl::StrFormat("%s\n%08x", key, Crc32c(key)));
}

absl::StatusOr<std::string> ReadPageToken(std::string_view token) {
  if (token.empty()) return std::string();
  std::string text;
  if (token.size() < 1000 && absl::WebSafeBase64Unescape(std::string(token), &text)) {
    const size_t end = text.find('\n');
    if (end != text.npos &&
        text.substr(end + 1) == absl::StrFormat("%08x", Crc32c(text.substr(0, end)))) {
      return text.substr(0, end);
    }
  }
  return MakeError(
      absl::StatusCode::kInvalidArgument, Reason::kPageTokenMismatch,
      "page_token is not one of this server's; leave it out to begin with the first page");
}

// Calls subscribers without any lock of the store.
class Hub : public std::enable_shared_from_this<Hub> {
 public:
  using Callback = ExperimentStore::ChangeCallback;

  std::unique_ptr<ExperimentStore::Subscription> Add(Callback callback) {
    auto entry = std::make_shared<Entry>();
    entry->callback = std::move(callback);
    const std::lock_guard lock(mutex_);
    entries_.push_back(entry);
    return std::make_unique<Handle>(weak_from_this(), entry);
  }

  void Notify(const std::string& name) {
    std::vector<std::shared_ptr<Entry>> entries;
    {
      const std::lock_guard lock(mutex_);
      entries = entries_;
    }
    for (const auto& entry : entries) {
      const std::lock_guard lock(entry->mutex);
      if (entry->callback) entry->callback(name);
    }
  }

 private:
  struct Entry {
    std::mutex mutex;
    Callback callback;  // Guarded by mutex; null once the subscription is gone.
  };
  class Handle : public ExperimentStore::Subscription {
   public:
    Handle(std::weak_ptr<Hub> hub, std::shared_ptr<Entry> entry)
        : hub_(std::move(hub)), entry_(std::move(entry)) {}
    ~Handle() override {
      {
        const std::lock_guard lock(entry_->mutex);
        entry_->callback = nullptr;
      }
      if (const auto hub = hub_.lock()) {
        const std::lock_guard lock(hub->mutex_);
        std::erase(hub->entries_, entry_);
      }
    }

   private:
    const std::weak_ptr<Hub> hub_;
    const std::shared_ptr<Entry> entry_;
  };

  std::mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_;  // Guarded by mutex_.
};

class SqliteStore : public ExperimentStore {
 public:
  SqliteStore(std::filesystem::path folder, std::unique_ptr<FileLock> lock,
              std::unique_ptr<sqlite::Database> writer, std::unique_ptr<sqlite::Database> reader)
      : folder_(std::move(folder)),
        lock_(std::move(lock)),
        writer_(std::move(writer)),
        reader_(std::move(reader)) {}

  absl::StatusOr<v1::Experiment> Create(const NewExperiment& experiment) override;
  absl::StatusOr<v1::Experiment> Get(std::string_view name) override;
  absl::StatusOr<ExperimentPage> List(int page_size, std::string_view page_token) override;
  absl::StatusOr<std::vector<v1::Experiment>> InStates(const std::set<State>& states) override;
  absl::StatusOr<std::map<State, int64_t>> CountByState() override;
  absl::StatusOr<v1::Experiment> Transition(std::string_view name, const std::set<State>& from,
                                            State to, std::string_view error) override;
  absl::Status SetProgress(std::string_view name, std::string_view activity,
                           const v1::Progress& progress) override;
  absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step) override;
  absl::Status RecordPoints(std::string_view uid, uint32_t step,
                            const std::map<std::string, double>& results,
                            const std::map<std::string, double>& timings) override;
  absl::StatusOr<std::map<std::string, Series>> Points(std::string_view uid) override;
  absl::StatusOr<std::vector<CheckpointInfo>> Checkpoints(std::string_view uid) override;
  absl::Status ReconcileCheckpoints(std::string_view uid,
                                    const std::vector<uint32_t>& steps_present,
                                    const std::vector<CheckpointInfo>& infos) override;
  std::unique_ptr<Subscription> Subscribe(ChangeCallback callback) override {
    return hub_->Add(std::move(callback));
  }
  std::filesystem::path ExperimentFolder(std::string_view uid) const override {
    return folder_ / "experiments" / std::string(uid);
  }
  uint64_t replay_mismatches() const override { return replay_mismatches_; }

 private:
  // What a RUNNING experiment does, as last said.
  struct Live {
    std::string activity;
    v1::Progress progress;
  };

  // The experiment of a row of kColumns; with what is only in memory.
  absl::StatusOr<v1::Experiment> FromRow(const sqlite::Query& row);
  absl::StatusOr<v1::Experiment> GetWith(sqlite::Database* database, const std::string& id);
  // Within a transaction.
  absl::StatusOr<int64_t> NextRevision();
  absl::StatusOr<std::optional<v1::Experiment>> AnsweredBefore(const NewExperiment& experiment,
                                                               int64_t now_ns);
  absl::Status WritePoints(std::string_view uid, uint32_t step,
                           const std::map<std::string, double>& points, bool reproducible);
  absl::Status WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info);
  // The id of an experiment that may change; FAILED_PRECONDITION in a final state.
  absl::StatusOr<std::string> RequireAtWork(std::string_view uid);
  absl::Status WriteSpecFiles(const std::string& id);
  std::optional<Live> LiveOf(const std::string& id);

  // Fixed after construction; it looks after its own locking.
  const std::filesystem::path folder_;
  const std::unique_ptr<FileLock> lock_;
  const std::shared_ptr<Hub> hub_ = std::make_shared<Hub>();
  std::atomic<uint64_t> replay_mismatches_ = 0;
  // Held for a whole transaction, its sync included. Never taken while one of the others is held.
  std::mutex writer_mutex_;
  const std::unique_ptr<sqlite::Database> writer_;
  // Readers do not wait for syncs.
  std::mutex reader_mutex_;
  const std::unique_ptr<sqlite::Database> reader_;
  std::mutex live_mutex_;
  std::map<std::string, Live> live_;  // Guarded by live_mutex_. By id.
};

std::optional<SqliteStore::Live> SqliteStore::LiveOf(const std::string& id) {
  const std::lock_guard lock(live_mutex_);
  const auto live = live_.find(id);
  if (live == live_.end()) return std::nullopt;
  return live->second;
}

absl::StatusOr<v1::Experiment> SqliteStore::FromRow(const sqlite::Query& row) {
  v1::Experiment experiment;
  const std::string id = row.Text(1);
  experiment.set_uid(row.Text(0));
  experiment.set_name("experiments/" + id);
  if (!experiment.mutable_spec()->ParseFromString(row.Text(2)) ||
      !experiment.mutable_progress()->ParseFromString(row.Text(5))) {
    return MakeError(
        absl::StatusCode::kDataLoss, Reason::kDataLoss,
        absl::StrFormat("the row of %s cannot be read; restore the state folder from a backup",
                        experiment.name()));
  }
  experiment.set_state(static_cast<State>(row.Integer(3)));
  experiment.set_error(row.Text(4));
  using google::protobuf::util::TimeUtil;
  *experiment.mutable_create_time() = TimeUtil::NanosecondsToTimestamp(row.Integer(6));
  *experiment.mutable_update_time() = TimeUtil::NanosecondsToTimestamp(row.Integer(7));
  if (row.Integer(8) != 0)
    *experiment.mutable_start_time() = TimeUtil::NanosecondsToTimestamp(row.Integer(8));
  if (row.Integer(9) != 0)
    *experiment.mutable_end_time() = TimeUtil::NanosecondsToTimestamp(row.Integer(9));
  experiment.set_etag("W/" + absl::WebSafeBase64Escape(std::to_string(row.Integer(10))));
  if (const std::optional<Live> live = LiveOf(id); live && IsAtWork(experiment.state())) {
    experiment.set_activity(live->activity);
    *experiment.mutable_progress() = live->progress;
  }
  return experiment;
}

absl::StatusOr<v1::Experiment> SqliteStore::GetWith(sqlite::Database* database,
                                                    const std::string& id) {
  auto row = database->Query(absl::StrFormat("SELECT %s FROM experiments WHERE id = ?", kColumns));
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return NoSuchExperiment("experiments/" + id);
  return FromRow(row);
}

absl::StatusOr<int64_t> SqliteStore::NextRevision() {
  auto next =
      writer_->Query("UPDATE meta SET value = value + 1 WHERE key = 'revision' RETURNING value");
  MENTOR_ASSIGN_OR_RETURN(const bool found, next.Step());
  MENTOR_CHECK(found);
  const int64_t revision = next.Integer(0);
  MENTOR_RETURN_IF_ERROR(next.Run());
  return revision;
}

absl::StatusOr<std::optional<v1::Experiment>> SqliteStore::AnsweredBefore(
    const NewExperiment& experiment, int64_t now_ns) {
  if (experiment.request_id.empty()) return std::nullopt;
  auto row = writer_->Query(
      "SELECT body_hash, response FROM requests WHERE request_id = ? AND expire_time > ?");
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(experiment.request_id).Bind(now_ns).Step());
  if (!found) return std::nullopt;
  if (row.Text(0) != experiment.request_hash) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, Reason::kRequestIdReused,
        absl::StrFormat("request_id %s was used for another request; take a new one for each",
                        experiment.request_id));
  }
  v1::Experiment response;
  if (!response.ParseFromString(row.Text(1))) {
    return absl::InternalError("a stored answer cannot be read");
  }
  return response;
}

absl::StatusOr<v1::Experiment> SqliteStore::Create(const NewExperiment& submitted) {
  const v1::ExperimentSpec spec = WithDefaults(submitted.spec);
  v1::Experiment experiment;
  {
    const std::lock_guard lock(writer_mutex_);
    const int64_t now_ns = NowNs();
    MENTOR_ASSIGN_OR_RETURN(const auto transaction, sqlite::Transaction::Begin(writer_.get()));
    MENTOR_ASSIGN_OR_RETURN(std::optional<v1::Experiment> answer,
                            AnsweredBefore(submitted, now_ns));
    if (answer) return *std::move(answer);

    const std::string uid = NewUuid();
    const std::string id = submitted.id.empty() ? "exp-" + UuidBase32(uid, 10) : submitted.id;
    {
      auto same = writer_->Query("SELECT 1 FROM experiments WHERE id = ?");
      MENTOR_ASSIGN_OR_RETURN(const bool taken, same.Bind(id).Step());
      if (taken) {
        return MakeError(
            absl::StatusCode::kAlreadyExists, Reason::kAlreadyExists,
            absl::StrFormat("experiments/%s exists already; choose another id, or leave it out",
                            id),
            {{"name", "experiments/" + id}});
      }
    }
    // An empty folder is all that a crash from here to the commit leaves behind.
    MENTOR_RETURN_IF_ERROR(MakeFolders(ExperimentFolder(uid)));
    v1::Progress progress;
    progress.set_outer_updates_total(spec.rule().outer_updates());
    progress.set_seconds_left(-1);
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(
        writer_
            ->Query("INSERT INTO experiments(uid, id, submitted_spec, spec, spec_hash, state, "
                    "progress, create_time, "
                    "update_time, revision) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .Bind(uid)
            .Bind(id)
            .BindBlob(submitted.spec.SerializeAsString())
            .BindBlob(spec.SerializeAsString())
            .Bind(SpecHash(spec))
            .Bind(int64_t{S::STATE_QUEUED})
            .BindBlob(progress.SerializeAsString())
            .Bind(now_ns)
            .Bind(now_ns)
            .Bind(revision)
            .Run());
    MENTOR_ASSIGN_OR_RETURN(experiment, GetWith(writer_.get(), id));
    if (!submitted.request_id.empty()) {
      MENTOR_RETURN_IF_ERROR(
          writer_->Query("DELETE FROM requests WHERE expire_time <= ?").Bind(now_ns).Run());
      MENTOR_RETURN_IF_ERROR(writer_
                                 ->Query("INSERT INTO requests(request_id, body_hash, response, "
                                         "expire_time) VALUES(?, ?, ?, ?)")
                                 .Bind(submitted.request_id)
                                 .Bind(submitted.request_hash)
                                 .BindBlob(experiment.SerializeAsString())
                                 .Bind(now_ns + kRequestKeptNs)
                                 .Run());
    }
    MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("api.create.before_commit")));
    MENTOR_RETURN_IF_ERROR(transaction->Commit());
  }
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("api.create.after_commit")));
  hub_->Notify(experiment.name());
  return experiment;
}

absl::StatusOr<v1::Experiment> SqliteStore::Get(std::string_view name) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
  const std::lock_guard lock(reader_mutex_);
  return GetWith(reader_.get(), id);
}

absl::StatusOr<ExperimentPage> SqliteStore::List(int page_size, std::string_view page_token) {
  if (page_size < 0) {
    Violations violations;
    violations.Add(
        "page_size",
        absl::StrFormat("is %d; give 0 for the default, or a positive number", page_size));
    return ToStatus(violations);
  }
  if (page_size == 0) page_size = kPageSizeDefault;
  page_size = std::min(page_size, kPageSizeMax);
  MENTOR_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(page_token));
  ExperimentPage page;
  const std::lock_guard lock(reader_mutex_);
  auto row = reader_->Query(
      absl::StrFormat("SELECT %s FROM experiments WHERE id > ? ORDER BY id LIMIT ?", kColumns));
  row.Bind(after).Bind(int64_t{page_size} + 1);
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return page;
    if (static_cast<int>(page.experiments.size()) == page_size) {
      page.next_page_token = MakePageToken(*IdOfName(page.experiments.back().name()));
      return page;
    }
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, FromRow(row));
    page.experiments.push_back(std::move(experiment));
  }
}

absl::StatusOr<std::vector<v1::Experiment>> SqliteStore::InStates(const std::set<State>& states) {
  std::vector<v1::Experiment> experiments;
  const std::string list = absl::StrJoin(
      states, ", ", [](std::string* out, State state) { out->append(std::to_string(state)); });
  const std::lock_guard lock(reader_mutex_);
  auto row = reader_->Query(absl::StrFormat(
      "SELECT %s FROM experiments WHERE state IN (%s) ORDER BY number", kColumns, list));
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return experiments;
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, FromRow(row));
    experiments.push_back(std::move(experiment));
  }
}

absl::StatusOr<std::map<State, int64_t>> SqliteStore::CountByState() {
  std::map<State, int64_t> counts;
  const std::lock_guard lock(reader_mutex_);
  auto row = reader_->Query("SELECT state, count(*) FROM experiments GROUP BY state");
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return counts;
    counts[static_cast<State>(row.Integer(0))] = row.Integer(1);
  }
}

// Written when the experiment first runs, so that Create has little to wait for.
absl::Status SqliteStore::WriteSpecFiles(const std::string& id) {
  std::string uid, submitted, merged;
  {
    const std::lock_guard lock(reader_mutex_);
    auto row = reader_->Query("SELECT uid, submitted_spec, spec FROM experiments WHERE id = ?");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
    if (!found) return NoSuchExperiment("experiments/" + id);
    uid = row.Text(0);
    submitted = row.Text(1);
    merged = row.Text(2);
  }
  const std::filesystem::path folder = ExperimentFolder(uid);
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "checkpoints"));
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "artifacts"));
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  for (const auto& [name, bytes] :
       {std::pair("spec.txtpb", &submitted), std::pair("merged.txtpb", &merged)}) {
    v1::ExperimentSpec spec;
    if (!spec.ParseFromString(*bytes)) return absl::DataLossError("a stored spec cannot be read");
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, PrintSpec(spec)));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Experiment> SqliteStore::Transition(std::string_view name,
                                                       const std::set<State>& from, State to,
                                                       std::string_view error) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
  for (const State state : from) MENTOR_CHECK(IsLegalTransition(state, to));
  if (to == S::STATE_RUNNING) MENTOR_RETURN_IF_ERROR(WriteSpecFiles(id));
  v1::Experiment experiment;
  {
    const std::lock_guard lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto transaction, sqlite::Transaction::Begin(writer_.get()));
    MENTOR_ASSIGN_OR_RETURN(experiment, GetWith(writer_.get(), id));
    if (!from.contains(experiment.state())) {
      const std::string allowed = absl::StrJoin(
          from, ", ", [](std::string* out, State state) { out->append(StateText(state)); });
      return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
                       absl::StrFormat("%s is %s; it can become %s only from %s", experiment.name(),
                                       StateText(experiment.state()), StateText(to), allowed),
                       {{"state", std::string(StateText(experiment.state()))},
                        {"verb", std::string(StateText(to))}});
    }
    const int64_t now_ns = NowNs();
    const bool keeps_error = to == S::STATE_FAILED || to == S::STATE_PAUSED;
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(writer_
                               ->Query("UPDATE experiments SET state = ?, error = ?, progress = ?, "
                                       "update_time = ?, start_time = "
                                       "CASE WHEN ? AND start_time = 0 THEN ? ELSE start_time END, "
                                       "end_time = ?, revision = ? WHERE id = ?")
                               .Bind(int64_t{to})
                               .Bind(keeps_error ? error : std::string_view())
                               .BindBlob(experiment.progress().SerializeAsString())
                               .Bind(now_ns)
                               .Bind(int64_t{to == S::STATE_RUNNING})
                               .Bind(now_ns)
                               .Bind(IsFinal(to) ? now_ns : int64_t{0})
                               .Bind(revision)
                               .Bind(id)
                               .Run());
    MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.transition.before_commit")));
    MENTOR_RETURN_IF_ERROR(transaction->Commit());
    if (!IsAtWork(to)) {
      const std::lock_guard live_lock(live_mutex_);
      live_.erase(id);
    }
    MENTOR_ASSIGN_OR_RETURN(experiment, GetWith(writer_.get(), id));
  }
  hub_->Notify(experiment.name());
  return experiment;
}

absl::Status SqliteStore::SetProgress(std::string_view name, std::string_view activity,
                                      const v1::Progress& progress) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
  if (!LiveOf(id)) {
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, Get(name));
    if (!IsAtWork(experiment.state())) return absl::OkStatus();  // Said too late.
  }
  {
    const std::lock_guard lock(live_mutex_);
    live_[id] = {std::string(activity), progress};
  }
  hub_->Notify(std::string(name));
  return absl::OkStatus();
}

absl::StatusOr<std::string> SqliteStore::RequireAtWork(std::string_view uid) {
  auto row = writer_->Query("SELECT id, state FROM experiments WHERE uid = ?");
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(uid).Step());
  if (!found) return NoSuchExperiment(uid);
  const State state = static_cast<State>(row.Integer(1));
  if (!IsAtWork(state)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
                     absl::StrFormat("experiments/%s is %s: nothing more is written for it",
                                     row.Text(0), StateText(state)),
                     {{"state", std::string(StateText(state))}});
  }
  return row.Text(0);
}

absl::Status SqliteStore::WritePoints(std::string_view uid, uint32_t step,
                                      const std::map<std::string, double>& points,
                                      bool reproducible) {
  for (const auto& [metric, value] : points) {
    if (reproducible) {
      auto old =
          writer_->Query("SELECT value FROM points WHERE uid = ? AND metric = ? AND step = ?");
      MENTOR_ASSIGN_OR_RETURN(const bool found,
                              old.Bind(uid).Bind(metric).Bind(int64_t{step}).Step());
      const double before = found ? old.Double(0) : value;
      if (before != value && !(std::isnan(before) && std::isnan(value))) {
        ++replay_mismatches_;
        MENTOR_LOG(kError, "a replayed outer step computed another result: exactness is broken",
                   {{"experiment_uid", std::string(uid)},
                    {"metric", metric},
                    {"step", absl::StrFormat("%d", step)},
                    {"before", absl::StrFormat("%a", before)},
                    {"now", absl::StrFormat("%a", value)}});
      }
    }
    MENTOR_RETURN_IF_ERROR(
        writer_->Query("INSERT OR REPLACE INTO points(uid, metric, step, value) VALUES(?, ?, ?, ?)")
            .Bind(uid)
            .Bind(metric)
            .Bind(int64_t{step})
            .Bind(value)
            .Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info) {
  return writer_
      ->Query(
          "INSERT OR REPLACE INTO checkpoints(uid, outer_step, size_bytes, sha256, state_hash, "
          "create_time) "
          "VALUES(?, ?, ?, ?, ?, ?)")
      .Bind(uid)
      .Bind(int64_t{info.outer_step})
      .Bind(static_cast<int64_t>(info.size_bytes))
      .Bind(info.sha256)
      .Bind(info.state_hash)
      .Bind(NowNs())
      .Run();
}

absl::Status SqliteStore::RecordOuterStep(std::string_view uid, const OuterStep& step) {
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.before_db")));
  std::string id;
  {
    const std::lock_guard lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto transaction, sqlite::Transaction::Begin(writer_.get()));
    MENTOR_ASSIGN_OR_RETURN(id, RequireAtWork(uid));
    MENTOR_RETURN_IF_ERROR(WritePoints(uid, step.step, step.results, /*reproducible=*/true));
    MENTOR_RETURN_IF_ERROR(WritePoints(uid, step.step, step.timings, /*reproducible=*/false));
    if (step.checkpoint) MENTOR_RETURN_IF_ERROR(WriteCheckpointRow(uid, *step.checkpoint));
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(
        writer_
            ->Query(
                "UPDATE experiments SET progress = ?, update_time = ?, revision = ? WHERE uid = ?")
            .BindBlob(step.progress.SerializeAsString())
            .Bind(NowNs())
            .Bind(revision)
            .Bind(uid)
            .Run());
    MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.in_db")));
    MENTOR_RETURN_IF_ERROR(transaction->Commit());
    const std::lock_guard live_lock(live_mutex_);
    live_[id].progress = step.progress;
  }
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.before_ack")));
  hub_->Notify("experiments/" + id);
  return absl::OkStatus();
}

absl::Status SqliteStore::RecordPoints(std::string_view uid, uint32_t step,
                                       const std::map<std::string, double>& results,
                                       const std::map<std::string, double>& timings) {
  const std::lock_guard lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction, sqlite::Transaction::Begin(writer_.get()));
  MENTOR_RETURN_IF_ERROR(RequireAtWork(uid).status());
  MENTOR_RETURN_IF_ERROR(WritePoints(uid, step, results, /*reproducible=*/true));
  MENTOR_RETURN_IF_ERROR(WritePoints(uid, step, timings, /*reproducible=*/false));
  return transaction->Commit();
}

absl::StatusOr<std::map<std::string, Series>> SqliteStore::Points(std::string_view uid) {
  std::map<std::string, Series> points;
  const std::lock_guard lock(reader_mutex_);
  auto row =
      reader_->Query("SELECT metric, step, value FROM points WHERE uid = ? ORDER BY metric, step");
  row.Bind(uid);
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return points;
    points[row.Text(0)].emplace_back(static_cast<uint32_t>(row.Integer(1)), row.Double(2));
  }
}

absl::StatusOr<std::vector<CheckpointInfo>> SqliteStore::Checkpoints(std::string_view uid) {
  std::vector<CheckpointInfo> infos;
  const std::lock_guard lock(reader_mutex_);
  auto row = reader_->Query(
      "SELECT outer_step, size_bytes, sha256, state_hash FROM checkpoints WHERE uid = ? ORDER BY "
      "outer_step");
  row.Bind(uid);
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return infos;
    const auto step = static_cast<uint32_t>(row.Integer(0));
    infos.push_back({.path = CheckpointFolder(uid) / CheckpointFileName(step),
                     .outer_step = step,
                     .size_bytes = static_cast<uint64_t>(row.Integer(1)),
                     .sha256 = row.Text(2),
                     .state_hash = row.Text(3)});
  }
}

absl::Status SqliteStore::ReconcileCheckpoints(std::string_view uid,
                                               const std::vector<uint32_t>& steps_present,
                                               const std::vector<CheckpointInfo>& infos) {
  const std::set<uint32_t> present(steps_present.begin(), steps_present.end());
  const std::lock_guard lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction, sqlite::Transaction::Begin(writer_.get()));
  std::vector<uint32_t> gone;
  {
    auto row = writer_->Query("SELECT outer_step FROM checkpoints WHERE uid = ?");
    row.Bind(uid);
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      if (!found) break;
      const auto step = static_cast<uint32_t>(row.Integer(0));
      if (!present.contains(step)) gone.push_back(step);
    }
  }
  for (const uint32_t step : gone) {
    MENTOR_RETURN_IF_ERROR(
        writer_->Query("DELETE FROM checkpoints WHERE uid = ? AND outer_step = ?")
            .Bind(uid)
            .Bind(int64_t{step})
            .Run());
  }
  for (const CheckpointInfo& info : infos) MENTOR_RETURN_IF_ERROR(WriteCheckpointRow(uid, info));
  return transaction->Commit();
}

// ---- Opening.

absl::Status TooNew(std::string_view what, std::string_view found, std::string_view known) {
  return MakeError(
      absl::StatusCode::kFailedPrecondition, Reason::kTooNew,
      absl::StrFormat(
          "%s is of version %s, this program knows %s: use the newer program, or another folder",
          what, found, known));
}

// Refuses folders that hold something else; writes FORMAT into a new one.
absl::Status CheckFormat(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "FORMAT";
  const auto format = ReadFile(file, 1000);
  if (format.ok()) {
    if (*format == kFormat) return absl::OkStatus();
    std::string shown = format->substr(0, 60);
    shown.erase(shown.find_last_not_of(" \n") + 1);
    return TooNew(folder.string(), "'" + shown + "'", "'mentor-state 1'");
  }
  if (format.status().code() != absl::StatusCode::kNotFound) return format.status();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name == "LOCK" || IsTemporaryName(name)) continue;
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s is not empty (it has %s) and is no state folder: choose a new or empty one",
        folder.string(), name));
  }
  return WriteFileAtomically(file, kFormat);
}

absl::StatusOr<int> SchemaVersion(sqlite::Database* database) {
  auto version = database->Query("PRAGMA user_version");
  MENTOR_RETURN_IF_ERROR(version.Step().status());
  return static_cast<int>(version.Integer(0));
}

// Forward only, one transaction a version, with a copy of the file before the first.
absl::Status Migrate(sqlite::Database* database, const std::filesystem::path& folder) {
  MENTOR_ASSIGN_OR_RETURN(const int found, SchemaVersion(database));
  if (found > kSchemaVersion) {
    return TooNew((folder / "mentor.db").string(), std::to_string(found),
                  std::to_string(kSchemaVersion));
  }
  if (found > 0 && found < kSchemaVersion) {
    const auto copy = folder / absl::StrFormat("mentor.db.v%d", found);
    std::filesystem::remove(copy);
    MENTOR_RETURN_IF_ERROR(database->Query("VACUUM INTO ?").Bind(copy.string()).Run());
  }
  for (int version = found; version < kSchemaVersion; ++version) {
    MENTOR_ASSIGN_OR_RETURN(const auto transaction, sqlite::Transaction::Begin(database));
    MENTOR_RETURN_IF_ERROR(database->Execute(std::string(kMigrations[version])));
    if (version == 0) {
      MENTOR_RETURN_IF_ERROR(database->Query("INSERT INTO meta(key, value) VALUES('store_uid', ?)")
                                 .Bind(NewUuid())
                                 .Run());
      MENTOR_RETURN_IF_ERROR(
          database->Execute("INSERT INTO meta(key, value) VALUES('revision', 0)"));
    }
    MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.migrate.step")));
    MENTOR_RETURN_IF_ERROR(
        database->Execute(absl::StrFormat("PRAGMA user_version=%d", version + 1)));
    MENTOR_RETURN_IF_ERROR(transaction->Commit());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<ExperimentStore>> Open(const std::filesystem::path& folder) {
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                          FileLock::Acquire(folder / "LOCK", "a meta-learner"));
  MENTOR_RETURN_IF_ERROR(CheckFormat(folder));
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "experiments"));
  MENTOR_ASSIGN_OR_RETURN(auto writer,
                          sqlite::Database::Open(folder / "mentor.db", /*read_only=*/false));
  MENTOR_RETURN_IF_ERROR(Migrate(writer.get(), folder));
  MENTOR_ASSIGN_OR_RETURN(auto reader,
                          sqlite::Database::Open(folder / "mentor.db", /*read_only=*/true));
  return std::make_unique<SqliteStore>(folder, std::move(lock), std::move(writer),
                                       std::move(reader));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(
    const std::filesystem::path& state_folder, OpenError* error) {
  auto store = Open(state_folder);
  if (error != nullptr) {
    const std::string reason = ReasonOf(store.status());
    *error = store.ok()                              ? OpenError::kNone
             : reason == ReasonName(Reason::kInUse)  ? OpenError::kInUse
             : reason == ReasonName(Reason::kTooNew) ? OpenError::kTooNew
                                                     : OpenError::kOther;
  }
  return store;
}

}  // namespace mentor::meta_learner
