#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <tuple>

#include <absl/strings/escaping.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/time_util.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/file.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "common/uuid.h"
#include "meta_learner/store/postgres.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sqlite.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {
namespace {

using S = v1::Experiment;
using google::protobuf::util::TimeUtil;

constexpr int64_t kRequestKeptNs = int64_t{24} * 3600 * 1'000'000'000;
constexpr std::string_view kFormat = "mentor-state 1\n";

constexpr char kColumns[] =
    "uid, id, spec, state, error, progress, create_time, update_time, start_time, end_time, "
    "revision, owner, priority, deadline, expire_time, served_env_steps, details";

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
      absl::StrFormat("there is no experiment '%s'; ListExperiments names those that exist", shown),
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

std::string EtagOf(int64_t revision) {
  return "W/" + absl::WebSafeBase64Escape(std::to_string(revision));
}

// ---- Page tokens: hash of the query, the last key, a CRC32C of both, in web-safe base64.

std::string MakePageToken(const std::string& query, const std::string& last) {
  const std::string text = Sha256Hex(query).substr(0, 16) + last;
  return absl::WebSafeBase64Escape(absl::StrFormat("%08x%s", Crc32c(text), text));
}

absl::StatusOr<std::string> ReadPageToken(std::string_view token, const std::string& query) {
  if (token.empty()) return std::string();
  std::string text;
  if (token.size() < 2000 && absl::WebSafeBase64Unescape(std::string(token), &text) &&
      text.size() >= 24) {
    const std::string signed_text = text.substr(8);
    if (text.substr(0, 8) == absl::StrFormat("%08x", Crc32c(signed_text)) &&
        signed_text.starts_with(Sha256Hex(query).substr(0, 16)))
      return signed_text.substr(16);
  }
  return MakeError(absl::StatusCode::kInvalidArgument, Reason::kPageTokenMismatch,
                   "page_token is not one of this server's, or belongs to another filter or order; "
                   "leave it out to begin with the first page");
}

// ---- Orders of a list. A key is unique, since the id ends it.

absl::StatusOr<std::function<std::string(const v1::Experiment&)>> KeyOfOrder(
    std::string_view field) {
  const auto time = [](const google::protobuf::Timestamp& timestamp) {
    return absl::StrFormat("%020d", TimeUtil::TimestampToNanoseconds(timestamp));
  };
  if (field == "create_time") return [=](const S& e) { return time(e.create_time()); };
  if (field == "update_time") return [=](const S& e) { return time(e.update_time()); };
  if (field == "state") return [](const S& e) { return std::string(StateText(e.state())); };
  if (field == "priority") return [](const S& e) { return absl::StrCat(e.priority()); };
  if (field == "name") return [](const S&) { return std::string(); };
  Violations violations;
  violations.Add("order_by",
                 absl::StrFormat("is '%s'; give one of name, create_time, update_time, state, "
                                 "priority, with ' desc' behind it to reverse the order",
                                 std::string(field.substr(0, 100))));
  return ToStatus(violations);
}

// Calls subscribers without any lock of the store.
class Hub : public std::enable_shared_from_this<Hub> {
 public:
  using Callback = ExperimentStore::ChangeCallback;

  std::unique_ptr<ExperimentStore::Subscription> Add(Callback callback) {
    const auto entry = std::make_shared<Entry>(std::move(callback));
    const MutexLock lock(mutex_);
    entries_.push_back(entry);
    return std::make_unique<Handle>(weak_from_this(), entry);
  }

  void Notify(const ExperimentStore::Notice& notice) {
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

 private:
  struct Entry {
    explicit Entry(Callback callback) : callback(std::move(callback)) {}
    Mutex mutex;
    Callback callback ABSL_GUARDED_BY(mutex);  // Null once the subscription is gone.
  };
  class Handle : public ExperimentStore::Subscription {
   public:
    Handle(std::weak_ptr<Hub> hub, std::shared_ptr<Entry> entry)
        : hub_(std::move(hub)), entry_(std::move(entry)) {}
    ~Handle() override {
      {
        const MutexLock lock(entry_->mutex);
        entry_->callback = nullptr;
      }
      if (const auto hub = hub_.lock()) {
        const MutexLock lock(hub->mutex_);
        std::erase(hub->entries_, entry_);
      }
    }

   private:
    const std::weak_ptr<Hub> hub_;
    const std::shared_ptr<Entry> entry_;
  };

  Mutex mutex_;
  std::vector<std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
};

// Fields of the resource that have no column.
v1::Experiment DetailsOf(const v1::Experiment& experiment) {
  v1::Experiment details;
  details.set_display_name(experiment.display_name());
  *details.mutable_labels() = experiment.labels();
  details.set_weight(experiment.weight());
  if (experiment.has_retention()) *details.mutable_retention() = experiment.retention();
  details.set_retries_max(experiment.retries_max());
  details.set_retries(experiment.retries());
  details.set_preemptions(experiment.preemptions());
  details.set_pause_reason(experiment.pause_reason());
  details.set_source_checkpoint(experiment.source_checkpoint());
  if (experiment.has_error()) *details.mutable_error() = experiment.error();
  return details;
}

// What a page, an event or an answered request needs to be written down: maps in one order.
std::string Bytes(const google::protobuf::Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

int64_t Nanoseconds(bool has, const google::protobuf::Timestamp& time) {
  return has ? TimeUtil::TimestampToNanoseconds(time) : 0;
}

class SqlStore : public ExperimentStore {
 public:
  SqlStore(std::filesystem::path folder, std::unique_ptr<FileLock> lock,
           std::unique_ptr<sql::Database> writer, std::unique_ptr<sql::Database> reader)
      : folder_(std::move(folder)),
        lock_(std::move(lock)),
        writer_(std::move(writer)),
        reader_(std::move(reader)) {}

  // Before anything else.
  absl::Status Start();

  absl::StatusOr<v1::Experiment> Create(const NewExperiment& experiment) override;
  absl::StatusOr<std::optional<v1::Experiment>> Answered(const NewExperiment& experiment) override {
    const MutexLock lock(writer_mutex_);
    return AnsweredBefore(experiment, NowNs());
  }
  absl::StatusOr<v1::Experiment> Get(std::string_view name) override;
  absl::StatusOr<ExperimentPage> List(const ListQuery& query) override;
  absl::StatusOr<std::vector<v1::Experiment>> InStates(const std::set<State>& states) override;
  absl::StatusOr<std::map<State, int64_t>> CountByState() override;
  absl::StatusOr<v1::Experiment> Change(std::string_view name, std::string_view etag,
                                        const Edit& edit) override;
  absl::Status Delete(std::string_view name, std::string_view etag) override;
  absl::Status FinishDeletions() override;
  absl::Status PrepareFolder(std::string_view uid) override;
  absl::Status SetProgress(std::string_view name, std::string_view activity,
                           const v1::Progress& progress) override;
  absl::StatusOr<std::vector<QueueHead>> QueueHeads(const std::set<std::string>& except) override;
  absl::StatusOr<std::map<std::string, OwnerUsage>> Usage() override;
  absl::StatusOr<std::vector<v1::Experiment>> PastDeadline(int64_t now_ns) override;
  absl::StatusOr<std::vector<v1::Experiment>> Expired(int64_t now_ns) override;
  absl::StatusOr<Snapshot> ReadSnapshot(const std::set<std::string>& names) override;
  absl::StatusOr<std::vector<StoreEvent>> Events(int64_t after_revision, int limit) override;
  absl::StatusOr<int64_t> Revision() override;
  absl::Status CompactEvents(int64_t keep, int64_t older_than_ns) override;
  const std::string& store_uid() const override { return store_uid_; }
  absl::Status RecordOuterStep(std::string_view uid, const OuterStep& step) override;
  absl::Status RecordPoints(std::string_view uid, uint32_t step,
                            const std::map<std::string, double>& results,
                            const std::map<std::string, double>& timings) override;
  absl::StatusOr<std::map<std::string, Series>> Points(std::string_view uid,
                                                       const std::set<std::string>& metrics,
                                                       uint32_t step_min,
                                                       uint32_t step_max) override;
  absl::StatusOr<std::vector<CheckpointRow>> Checkpoints(std::string_view uid) override;
  absl::StatusOr<CheckpointRow> PinCheckpoint(std::string_view uid, uint32_t step,
                                              bool pinned) override;
  absl::Status ReconcileCheckpoints(std::string_view uid,
                                    const std::vector<uint32_t>& steps_present,
                                    const std::vector<CheckpointInfo>& infos) override;
  std::unique_ptr<Subscription> Subscribe(ChangeCallback callback) override {
    return hub_->Add(std::move(callback));
  }
  std::filesystem::path ExperimentFolder(std::string_view uid) const override {
    return folder_ / "experiments" / std::string(uid);
  }
  const std::filesystem::path& folder() const override { return folder_; }
  uint64_t replay_mismatches() const override { return replay_mismatches_; }
  void OnCommit(std::function<void(double)> callback) override {
    const MutexLock lock(writer_mutex_);
    on_commit_ = std::move(callback);
  }

 private:
  // What a RUNNING experiment does, as last said.
  struct Live {
    std::string activity;
    v1::Progress progress;
  };

  // A transaction of the writer, whose lock outlives it.
  class Writing {
   public:
    Writing(std::unique_ptr<sql::Transaction> transaction,
            std::chrono::steady_clock::time_point start,
            const std::function<void(double)>& on_commit)
        : transaction_(std::move(transaction)), start_(start), on_commit_(on_commit) {}
    absl::Status Commit() {
      absl::Status status = transaction_->Commit();
      if (on_commit_) {
        on_commit_(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
      }
      return status;
    }

   private:
    const std::unique_ptr<sql::Transaction> transaction_;
    const std::chrono::steady_clock::time_point start_;
    const std::function<void(double)>& on_commit_;
  };
  absl::StatusOr<std::unique_ptr<Writing>> BeginWriting()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_) {
    const auto start = std::chrono::steady_clock::now();
    MENTOR_ASSIGN_OR_RETURN(auto transaction, sql::Transaction::Begin(writer_.get()));
    return std::make_unique<Writing>(std::move(transaction), start, on_commit_);
  }

  // The experiment of a row of kColumns; with what is only in memory.
  absl::StatusOr<v1::Experiment> FromRow(const sql::Query& row);
  absl::StatusOr<v1::Experiment> GetWith(sql::Database* database, const std::string& id);
  // Experiments of a query on kColumns whose values are bound.
  absl::StatusOr<std::vector<v1::Experiment>> ReadAll(sql::Query* row);
  static absl::StatusOr<int64_t> RevisionOf(sql::Database* database);
  absl::StatusOr<ExperimentPage> ListByName(const ListQuery& query, int page_size,
                                            const std::string& after)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(reader_mutex_);
  // Within a transaction.
  absl::StatusOr<int64_t> NextRevision() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::StatusOr<std::optional<v1::Experiment>> AnsweredBefore(const NewExperiment& experiment,
                                                               int64_t now_ns)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::Status WriteEvent(StoreEvent::Kind kind, int64_t revision, int64_t now_ns,
                          const v1::Experiment& experiment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::Status WritePoints(std::string_view uid, uint32_t step,
                           const std::map<std::string, double>& points, bool reproducible)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::Status WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  // The id of an experiment that may change; FAILED_PRECONDITION in a final state.
  absl::StatusOr<std::string> RequireAtWork(std::string_view uid)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(writer_mutex_);
  absl::Status RemoveFiles(std::string_view uid);
  std::optional<Live> LiveOf(const std::string& id);

  // Fixed after Start; it looks after its own locking.
  const std::filesystem::path folder_;
  const std::unique_ptr<FileLock> lock_;
  const std::shared_ptr<Hub> hub_ = std::make_shared<Hub>();
  std::string store_uid_;
  std::atomic<uint64_t> replay_mismatches_ = 0;
  // Held for a whole transaction, its sync included. Never taken while one of the others is held.
  Mutex writer_mutex_;
  const std::unique_ptr<sql::Database> writer_ ABSL_PT_GUARDED_BY(writer_mutex_);
  std::function<void(double)> on_commit_ ABSL_GUARDED_BY(writer_mutex_);
  // Readers do not wait for syncs.
  Mutex reader_mutex_;
  const std::unique_ptr<sql::Database> reader_ ABSL_PT_GUARDED_BY(reader_mutex_);
  Mutex live_mutex_;
  std::map<std::string, Live> live_ ABSL_GUARDED_BY(live_mutex_);  // By id.
};

absl::Status SqlStore::Start() {
  {
    const MutexLock lock(reader_mutex_);
    auto row = reader_->Query("SELECT value FROM meta WHERE key = 'store_uid'");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return absl::DataLossError(reader_->name() + ": the store has no identity");
    store_uid_ = row.Text(0);
  }
  return FinishDeletions();
}

std::optional<SqlStore::Live> SqlStore::LiveOf(const std::string& id) {
  const MutexLock lock(live_mutex_);
  const auto live = live_.find(id);
  if (live == live_.end()) return std::nullopt;
  return live->second;
}

absl::StatusOr<v1::Experiment> SqlStore::FromRow(const sql::Query& row) {
  const std::string id = row.Text(1);
  v1::Experiment experiment;
  if (!experiment.ParseFromString(row.Text(16)) ||
      !experiment.mutable_spec()->ParseFromString(row.Text(2)) ||
      !experiment.mutable_progress()->ParseFromString(row.Text(5))) {
    return MakeError(
        absl::StatusCode::kDataLoss, Reason::kDataLoss,
        absl::StrFormat("the row of experiments/%s cannot be read; restore the state from a backup",
                        id));
  }
  experiment.set_uid(row.Text(0));
  experiment.set_name("experiments/" + id);
  experiment.set_state(static_cast<State>(row.Integer(3)));
  // Version 1 kept a sentence.
  if (const std::string error = row.Text(4); !error.empty() && !experiment.has_error())
    *experiment.mutable_error() = StatusToProto(absl::UnknownError(error));
  const auto set_time = [&](int column, auto member) {
    if (row.Integer(column) != 0)
      *(experiment.*member)() = TimeUtil::NanosecondsToTimestamp(row.Integer(column));
  };
  set_time(6, &S::mutable_create_time);
  set_time(7, &S::mutable_update_time);
  set_time(8, &S::mutable_start_time);
  set_time(9, &S::mutable_end_time);
  experiment.set_etag(EtagOf(row.Integer(10)));
  experiment.set_owner(row.Text(11));
  experiment.set_priority(static_cast<v1::Priority>(row.Integer(12)));
  set_time(13, &S::mutable_deadline);
  set_time(14, &S::mutable_expire_time);
  experiment.set_served_env_steps(static_cast<uint64_t>(row.Integer(15)));
  if (experiment.weight() == 0) experiment.set_weight(1);
  if (experiment.display_name().empty())
    experiment.set_display_name(experiment.spec().display_name());
  if (const std::optional<Live> live = LiveOf(id); live && IsAtWork(experiment.state())) {
    experiment.set_activity(live->activity);
    *experiment.mutable_progress() = live->progress;
  }
  return experiment;
}

absl::StatusOr<v1::Experiment> SqlStore::GetWith(sql::Database* database, const std::string& id) {
  auto row = database->Query(absl::StrFormat("SELECT %s FROM experiments WHERE id = ?", kColumns));
  MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(id).Step());
  if (!found) return NoSuchExperiment("experiments/" + id);
  return FromRow(row);
}

absl::StatusOr<std::vector<v1::Experiment>> SqlStore::ReadAll(sql::Query* row) {
  std::vector<v1::Experiment> experiments;
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row->Step());
    if (!found) return experiments;
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, FromRow(*row));
    experiments.push_back(std::move(experiment));
  }
}

absl::StatusOr<int64_t> SqlStore::RevisionOf(sql::Database* database) {
  auto row = database->Query("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'revision'");
  MENTOR_RETURN_IF_ERROR(row.Step().status());
  return row.Integer(0);
}

absl::StatusOr<int64_t> SqlStore::NextRevision() {
  auto next = writer_->Query(
      "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'revision' "
      "RETURNING value");
  MENTOR_ASSIGN_OR_RETURN(const bool found, next.Step());
  MENTOR_CHECK(found);
  const int64_t revision = next.Integer(0);
  MENTOR_RETURN_IF_ERROR(next.Run());
  return revision;
}

absl::StatusOr<std::optional<v1::Experiment>> SqlStore::AnsweredBefore(
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

absl::Status SqlStore::WriteEvent(StoreEvent::Kind kind, int64_t revision, int64_t now_ns,
                                  const v1::Experiment& experiment) {
  v1::Experiment kept = experiment;
  kept.set_etag(EtagOf(revision));
  kept.clear_activity();
  // The specs of those that are there stand in their rows.
  if (kind != StoreEvent::Kind::kDeleted) kept.clear_spec();
  return writer_
      ->Query("INSERT INTO events(revision, uid, kind, time, experiment) VALUES(?, ?, ?, ?, ?)")
      .Bind(revision)
      .Bind(experiment.uid())
      .Bind(static_cast<int64_t>(kind))
      .Bind(now_ns)
      .BindBlob(Bytes(kept))
      .Run();
}

absl::StatusOr<v1::Experiment> SqlStore::Create(const NewExperiment& submitted) {
  const v1::ExperimentSpec spec = WithDefaults(submitted.experiment.spec());
  v1::Experiment experiment;
  {
    const MutexLock lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
    const int64_t now_ns = NowNs();
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
    // A folder that nobody knows is all that a crash from here to the commit leaves behind.
    MENTOR_RETURN_IF_ERROR(MakeFolders(ExperimentFolder(uid)));
    if (submitted.fill_folder)
      MENTOR_RETURN_IF_ERROR(submitted.fill_folder(uid, ExperimentFolder(uid)));
    const v1::Experiment& settings = submitted.experiment;
    v1::Progress progress;
    progress.set_outer_updates_total(spec.rule().outer_updates());
    progress.set_seconds_left(-1);
    const v1::Priority priority =
        settings.priority() == v1::PRIORITY_UNSPECIFIED ? v1::PRIORITY_NORMAL : settings.priority();
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(
        writer_
            ->Query("INSERT INTO experiments(uid, id, submitted_spec, spec, spec_hash, state, "
                    "progress, create_time, update_time, revision, owner, priority, deadline, "
                    "details) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
            .Bind(uid)
            .Bind(id)
            .BindBlob(settings.spec().SerializeAsString())
            .BindBlob(spec.SerializeAsString())
            .Bind(SpecHash(spec))
            .Bind(int64_t{S::STATE_QUEUED})
            .BindBlob(progress.SerializeAsString())
            .Bind(now_ns)
            .Bind(now_ns)
            .Bind(revision)
            .Bind(submitted.owner)
            .Bind(int64_t{priority})
            .Bind(Nanoseconds(settings.has_deadline(), settings.deadline()))
            .BindBlob(Bytes(DetailsOf(settings)))
            .Run());
    MENTOR_ASSIGN_OR_RETURN(experiment, GetWith(writer_.get(), id));
    MENTOR_RETURN_IF_ERROR(WriteEvent(StoreEvent::Kind::kCreated, revision, now_ns, experiment));
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
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("api.create.after_commit")));
  hub_->Notify({.name = experiment.name()});
  return experiment;
}

absl::StatusOr<v1::Experiment> SqlStore::Get(std::string_view name) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
  const MutexLock lock(reader_mutex_);
  return GetWith(reader_.get(), id);
}

absl::StatusOr<ExperimentPage> SqlStore::ListByName(const ListQuery& query, int page_size,
                                                    const std::string& after) {
  ExperimentPage page;
  {
    auto count = reader_->Query("SELECT count(*) FROM experiments");
    MENTOR_RETURN_IF_ERROR(count.Step().status());
    page.total_size = count.Integer(0);
  }
  auto row = reader_->Query(
      absl::StrFormat("SELECT %s FROM experiments WHERE id > ? ORDER BY id LIMIT ?", kColumns));
  MENTOR_ASSIGN_OR_RETURN(page.experiments, ReadAll(&row.Bind(after).Bind(int64_t{page_size} + 1)));
  if (static_cast<int>(page.experiments.size()) > page_size) {
    page.experiments.pop_back();
    page.next_page_token = MakePageToken(query.key, *IdOfName(page.experiments.back().name()));
  }
  return page;
}

absl::StatusOr<ExperimentPage> SqlStore::List(const ListQuery& query) {
  Violations violations;
  const int page_size = PageSize(query.page_size, &violations);
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  std::string order = query.order_by.empty() ? "name" : query.order_by;
  const bool descending = order.ends_with(" desc");
  if (descending) order.resize(order.size() - std::string_view(" desc").size());
  MENTOR_ASSIGN_OR_RETURN(const auto key_of, KeyOfOrder(order));
  MENTOR_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(query.page_token, query.key));
  const MutexLock lock(reader_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction, sql::Transaction::BeginRead(reader_.get()));
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision, RevisionOf(reader_.get()));
  ExperimentPage page;
  if (query.matches == nullptr && order == "name" && !descending) {
    MENTOR_ASSIGN_OR_RETURN(page, ListByName(query, page_size, after));
    page.revision = revision;
    return page;
  }
  // Filters and other orders look at every row; there are some thousands at most.
  std::map<std::string, v1::Experiment> rest;  // By key.
  auto row = reader_->Query(absl::StrFormat("SELECT %s FROM experiments ORDER BY id", kColumns));
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) break;
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, FromRow(row));
    if (query.matches != nullptr && !query.matches(experiment)) continue;
    ++page.total_size;
    std::string key = key_of(experiment) + "\n" + experiment.name();
    if (!after.empty() && (descending ? key >= after : key <= after)) continue;
    rest.emplace(std::move(key), std::move(experiment));
    if (static_cast<int>(rest.size()) > page_size + 1)
      rest.erase(descending ? rest.begin() : std::prev(rest.end()));
  }
  const bool more = static_cast<int>(rest.size()) > page_size;
  if (more) rest.erase(descending ? rest.begin() : std::prev(rest.end()));
  if (more)
    page.next_page_token =
        MakePageToken(query.key, descending ? rest.begin()->first : rest.rbegin()->first);
  for (auto& [key, experiment] : rest) page.experiments.push_back(std::move(experiment));
  if (descending) std::reverse(page.experiments.begin(), page.experiments.end());
  page.revision = revision;
  return page;
}

absl::StatusOr<std::vector<v1::Experiment>> SqlStore::InStates(const std::set<State>& states) {
  if (states.empty()) return std::vector<v1::Experiment>();
  const std::string list = absl::StrJoin(
      states, ", ", [](std::string* out, State state) { out->append(std::to_string(state)); });
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(absl::StrFormat(
      "SELECT %s FROM experiments WHERE state IN (%s) ORDER BY number", kColumns, list));
  return ReadAll(&row);
}

absl::StatusOr<std::map<State, int64_t>> SqlStore::CountByState() {
  std::map<State, int64_t> counts;
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query("SELECT state, count(*) FROM experiments GROUP BY state");
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return counts;
    counts[static_cast<State>(row.Integer(0))] = row.Integer(1);
  }
}

absl::Status SqlStore::PrepareFolder(std::string_view uid) {
  std::string submitted, merged;
  {
    const MutexLock lock(reader_mutex_);
    auto row = reader_->Query("SELECT submitted_spec, spec FROM experiments WHERE uid = ?");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(uid).Step());
    if (!found) return NoSuchExperiment(uid);
    submitted = row.Text(0);
    merged = row.Text(1);
  }
  const std::filesystem::path folder = ExperimentFolder(uid);
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "checkpoints"));
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  for (const auto& [name, bytes] :
       {std::pair("spec.txtpb", &submitted), std::pair("merged.txtpb", &merged)}) {
    v1::ExperimentSpec spec;
    if (!spec.ParseFromString(*bytes)) return absl::DataLossError("a stored spec cannot be read");
    const std::string text = PrintSpec(spec);
    if (const auto there = ReadFile(folder / name, kSpecBytesMax * 4); there.ok() && *there == text)
      continue;
    MENTOR_RETURN_IF_ERROR(WriteFileAtomically(folder / name, text));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Experiment> SqlStore::Change(std::string_view name, std::string_view etag,
                                                const Edit& edit) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
  v1::Experiment experiment;
  {
    const MutexLock lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment before, GetWith(writer_.get(), id));
    MENTOR_RETURN_IF_ERROR(CheckEtag(before.name(), etag, before.etag()));
    experiment = before;
    MENTOR_RETURN_IF_ERROR(edit(&experiment));
    if (Bytes(experiment) == Bytes(before)) return before;
    const State from = before.state(), to = experiment.state();
    MENTOR_CHECK(from == to || IsLegalTransition(from, to));
    const bool keeps_error = to == S::STATE_FAILED || to == S::STATE_QUEUED ||
                             to == S::STATE_CANCELLING || to == S::STATE_CANCELLED;
    if (from != to && !keeps_error) experiment.clear_error();
    if (to != S::STATE_PAUSED && to != S::STATE_PAUSING) experiment.clear_pause_reason();
    const int64_t now_ns = NowNs();
    int64_t start_ns = Nanoseconds(before.has_start_time(), before.start_time());
    int64_t end_ns = Nanoseconds(before.has_end_time(), before.end_time());
    if (to == S::STATE_RUNNING && start_ns == 0) start_ns = now_ns;
    if (IsFinal(to) && !IsFinal(from)) end_ns = now_ns;
    const int64_t ttl_ns = TimeUtil::DurationToNanoseconds(experiment.retention().ttl());
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(
        writer_
            ->Query("UPDATE experiments SET state = ?, error = '', progress = ?, update_time = ?, "
                    "start_time = ?, end_time = ?, revision = ?, priority = ?, deadline = ?, "
                    "expire_time = ?, served_env_steps = ?, details = ? WHERE id = ?")
            .Bind(int64_t{to})
            .BindBlob(experiment.progress().SerializeAsString())
            .Bind(now_ns)
            .Bind(start_ns)
            .Bind(end_ns)
            .Bind(revision)
            .Bind(int64_t{experiment.priority()})
            .Bind(Nanoseconds(experiment.has_deadline(), experiment.deadline()))
            .Bind(IsFinal(to) && ttl_ns > 0 ? end_ns + ttl_ns : int64_t{0})
            .Bind(static_cast<int64_t>(experiment.served_env_steps()))
            .BindBlob(Bytes(DetailsOf(experiment)))
            .Bind(id)
            .Run());
    if (!IsAtWork(to)) {
      const MutexLock live_lock(live_mutex_);
      live_.erase(id);
    }
    MENTOR_ASSIGN_OR_RETURN(experiment, GetWith(writer_.get(), id));
    MENTOR_RETURN_IF_ERROR(WriteEvent(StoreEvent::Kind::kUpdated, revision, now_ns, experiment));
    MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.transition.before_commit")));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  hub_->Notify({.name = experiment.name()});
  return experiment;
}

absl::Status SqlStore::Delete(std::string_view name, std::string_view etag) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
  v1::Experiment experiment;
  {
    const MutexLock lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
    MENTOR_ASSIGN_OR_RETURN(experiment, GetWith(writer_.get(), id));
    MENTOR_RETURN_IF_ERROR(CheckEtag(experiment.name(), etag, experiment.etag()));
    if (!IsFinal(experiment.state())) {
      return MakeError(absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
                       absl::StrFormat("%s is %s; cancel it first, or delete it with force",
                                       experiment.name(), StateText(experiment.state())),
                       {{"state", std::string(StateText(experiment.state()))}, {"verb", "delete"}});
    }
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(
        writer_->Query("INSERT INTO deletions(uid) VALUES(?)").Bind(experiment.uid()).Run());
    MENTOR_RETURN_IF_ERROR(
        writer_->Query("DELETE FROM experiments WHERE uid = ?").Bind(experiment.uid()).Run());
    MENTOR_RETURN_IF_ERROR(WriteEvent(StoreEvent::Kind::kDeleted, revision, NowNs(), experiment));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  hub_->Notify({.name = experiment.name()});
  if (const absl::Status removed = RemoveFiles(experiment.uid()); !removed.ok()) {
    MENTOR_LOG(kWarning, "files of a deleted experiment are left; the next start removes them",
               {{"experiment", experiment.name()}, {"why", removed}});
  }
  return absl::OkStatus();
}

absl::Status SqlStore::RemoveFiles(std::string_view uid) {
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.delete.before_files")));
  std::error_code error;
  std::filesystem::remove_all(ExperimentFolder(uid), error);
  if (error) return FileError("cannot remove", ExperimentFolder(uid), error.value());
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
  MENTOR_RETURN_IF_ERROR(writer_->Query("DELETE FROM deletions WHERE uid = ?").Bind(uid).Run());
  return writing->Commit();
}

absl::Status SqlStore::FinishDeletions() {
  std::vector<std::string> uids;
  {
    const MutexLock lock(reader_mutex_);
    auto row = reader_->Query("SELECT uid FROM deletions ORDER BY uid");
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      if (!found) break;
      uids.push_back(row.Text(0));
    }
  }
  for (const std::string& uid : uids) MENTOR_RETURN_IF_ERROR(RemoveFiles(uid));
  return absl::OkStatus();
}

absl::Status SqlStore::SetProgress(std::string_view name, std::string_view activity,
                                   const v1::Progress& progress) {
  MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
  if (!LiveOf(id)) {
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, Get(name));
    if (!IsAtWork(experiment.state())) return absl::OkStatus();  // Said too late.
  }
  {
    const MutexLock lock(live_mutex_);
    live_[id] = {std::string(activity), progress};
  }
  hub_->Notify({.name = std::string(name), .durable = false});
  return absl::OkStatus();
}

// ---- The queue.

absl::StatusOr<std::vector<QueueHead>> SqlStore::QueueHeads(const std::set<std::string>& except) {
  std::string condition;
  for (size_t i = 0; i < except.size(); ++i) condition += i == 0 ? "?" : ", ?";
  if (!condition.empty()) condition = " AND id NOT IN (" + condition + ")";
  std::vector<QueueHead> heads;
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(
      "SELECT x.priority, x.owner, x.id, x.number FROM experiments x JOIN (SELECT MIN(number) AS "
      "head FROM experiments WHERE state = ?" +
      condition + " GROUP BY priority, owner) h ON x.number = h.head ORDER BY x.number");
  row.Bind(int64_t{S::STATE_QUEUED});
  for (const std::string& name : except) row.Bind(IdOfName(name).value_or(""));
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return heads;
    heads.push_back({.priority = static_cast<v1::Priority>(row.Integer(0)),
                     .owner = row.Text(1),
                     .name = "experiments/" + row.Text(2),
                     .number = row.Integer(3)});
  }
}

absl::StatusOr<std::map<std::string, OwnerUsage>> SqlStore::Usage() {
  std::map<std::string, OwnerUsage> usage;
  const MutexLock lock(reader_mutex_);
  {
    auto row =
        reader_->Query("SELECT owner, state, count(*) FROM experiments GROUP BY owner, state");
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      if (!found) break;
      const State state = static_cast<State>(row.Integer(1));
      if (state == S::STATE_QUEUED) usage[row.Text(0)].queued += row.Integer(2);
      if (IsAtWork(state)) usage[row.Text(0)].running += row.Integer(2);
    }
  }
  auto row = reader_->Query(
      "SELECT x.owner, CAST(SUM(c.size_bytes) AS BIGINT) FROM checkpoints c JOIN experiments x ON "
      "x.uid = c.uid GROUP BY x.owner");
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return usage;
    usage[row.Text(0)].checkpoint_bytes = row.Integer(1);
  }
}

absl::StatusOr<std::vector<v1::Experiment>> SqlStore::PastDeadline(int64_t now_ns) {
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(absl::StrFormat(
      "SELECT %s FROM experiments WHERE deadline > 0 AND deadline <= ? AND state NOT IN (%d, %d, "
      "%d) ORDER BY number",
      kColumns, S::STATE_CANCELLED, S::STATE_SUCCEEDED, S::STATE_FAILED));
  return ReadAll(&row.Bind(now_ns));
}

absl::StatusOr<std::vector<v1::Experiment>> SqlStore::Expired(int64_t now_ns) {
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(absl::StrFormat(
      "SELECT %s FROM experiments WHERE expire_time > 0 AND expire_time <= ? ORDER BY number",
      kColumns));
  return ReadAll(&row.Bind(now_ns));
}

// ---- Changes.

absl::StatusOr<ExperimentStore::Snapshot> SqlStore::ReadSnapshot(
    const std::set<std::string>& names) {
  Snapshot snapshot;
  const MutexLock lock(reader_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction, sql::Transaction::BeginRead(reader_.get()));
  MENTOR_ASSIGN_OR_RETURN(snapshot.revision, RevisionOf(reader_.get()));
  if (names.empty()) {
    auto row = reader_->Query(absl::StrFormat("SELECT %s FROM experiments ORDER BY id", kColumns));
    MENTOR_ASSIGN_OR_RETURN(snapshot.experiments, ReadAll(&row));
    return snapshot;
  }
  for (const std::string& name : names) {
    MENTOR_ASSIGN_OR_RETURN(const std::string id, RequireId(name));
    MENTOR_ASSIGN_OR_RETURN(v1::Experiment experiment, GetWith(reader_.get(), id));
    snapshot.experiments.push_back(std::move(experiment));
  }
  return snapshot;
}

absl::StatusOr<std::vector<StoreEvent>> SqlStore::Events(int64_t after_revision, int limit) {
  std::vector<StoreEvent> events;
  const MutexLock lock(reader_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto transaction, sql::Transaction::BeginRead(reader_.get()));
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision, RevisionOf(reader_.get()));
  int64_t compacted = 0;
  {
    auto row = reader_->Query("SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'compacted'");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (found) compacted = row.Integer(0);
  }
  if (after_revision < compacted || after_revision > revision) {
    return MakeError(absl::StatusCode::kOutOfRange, Reason::kWatchCompacted,
                     "the changes after this resume_token are not kept any more: list again, the "
                     "answer has a new token",
                     {{"oldest_revision", absl::StrCat(compacted)}});
  }
  auto row = reader_->Query(
      "SELECT e.revision, e.kind, e.experiment, x.spec FROM events e LEFT JOIN experiments x ON "
      "x.uid = e.uid WHERE e.revision > ? ORDER BY e.revision LIMIT ?");
  row.Bind(after_revision).Bind(int64_t{limit});
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return events;
    StoreEvent event{.revision = row.Integer(0),
                     .kind = static_cast<StoreEvent::Kind>(row.Integer(1)),
                     .experiment = {}};
    const std::string spec = row.Text(3);
    if (!event.experiment.ParseFromString(row.Text(2)) ||
        (!spec.empty() && !event.experiment.mutable_spec()->ParseFromString(spec)))
      return absl::DataLossError("a stored change cannot be read");
    events.push_back(std::move(event));
  }
}

absl::StatusOr<int64_t> SqlStore::Revision() {
  const MutexLock lock(reader_mutex_);
  return RevisionOf(reader_.get());
}

absl::Status SqlStore::CompactEvents(int64_t keep, int64_t older_than_ns) {
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
  MENTOR_ASSIGN_OR_RETURN(const int64_t revision, RevisionOf(writer_.get()));
  int64_t last_gone = std::max<int64_t>(0, revision - keep);
  {
    auto row = writer_->Query("SELECT MAX(revision) FROM events WHERE time < ?");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(NowNs() - older_than_ns).Step());
    if (found) last_gone = std::max(last_gone, row.Integer(0));
  }
  {
    auto row = writer_->Query("SELECT 1 FROM events WHERE revision <= ? LIMIT 1");
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Bind(last_gone).Step());
    if (!found) return absl::OkStatus();
  }
  MENTOR_RETURN_IF_ERROR(
      writer_->Query("DELETE FROM events WHERE revision <= ?").Bind(last_gone).Run());
  MENTOR_RETURN_IF_ERROR(writer_
                             ->Query("INSERT INTO meta(key, value) VALUES('compacted', ?) ON "
                                     "CONFLICT(key) DO UPDATE SET value = excluded.value")
                             .Bind(std::to_string(last_gone))
                             .Run());
  return writing->Commit();
}

// ---- What an experiment produces.

absl::StatusOr<std::string> SqlStore::RequireAtWork(std::string_view uid) {
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

absl::Status SqlStore::WritePoints(std::string_view uid, uint32_t step,
                                   const std::map<std::string, double>& points, bool reproducible) {
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
        writer_
            ->Query("INSERT INTO points(uid, metric, step, value) VALUES(?, ?, ?, ?) ON "
                    "CONFLICT(uid, metric, step) DO UPDATE SET value = excluded.value")
            .Bind(uid)
            .Bind(metric)
            .Bind(int64_t{step})
            .Bind(value)
            .Run());
  }
  return absl::OkStatus();
}

absl::Status SqlStore::WriteCheckpointRow(std::string_view uid, const CheckpointInfo& info) {
  return writer_
      ->Query(
          "INSERT INTO checkpoints(uid, outer_step, size_bytes, sha256, state_hash, create_time) "
          "VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT(uid, outer_step) DO UPDATE SET size_bytes = "
          "excluded.size_bytes, sha256 = excluded.sha256, state_hash = excluded.state_hash")
      .Bind(uid)
      .Bind(int64_t{info.outer_step})
      .Bind(static_cast<int64_t>(info.size_bytes))
      .Bind(info.sha256)
      .Bind(info.state_hash)
      .Bind(NowNs())
      .Run();
}

absl::Status SqlStore::RecordOuterStep(std::string_view uid, const OuterStep& step) {
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.before_db")));
  std::string id;
  {
    const MutexLock lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
    MENTOR_ASSIGN_OR_RETURN(id, RequireAtWork(uid));
    MENTOR_RETURN_IF_ERROR(WritePoints(uid, step.step, step.results, /*reproducible=*/true));
    MENTOR_RETURN_IF_ERROR(WritePoints(uid, step.step, step.timings, /*reproducible=*/false));
    if (step.checkpoint) MENTOR_RETURN_IF_ERROR(WriteCheckpointRow(uid, *step.checkpoint));
    const int64_t now_ns = NowNs();
    MENTOR_ASSIGN_OR_RETURN(const int64_t revision, NextRevision());
    MENTOR_RETURN_IF_ERROR(
        writer_
            ->Query("UPDATE experiments SET progress = ?, update_time = ?, revision = ?, "
                    "served_env_steps = served_env_steps + ? WHERE uid = ?")
            .BindBlob(step.progress.SerializeAsString())
            .Bind(now_ns)
            .Bind(revision)
            .Bind(static_cast<int64_t>(step.served_env_steps))
            .Bind(uid)
            .Run());
    {
      const MutexLock live_lock(live_mutex_);
      live_[id].progress = step.progress;
    }
    MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, GetWith(writer_.get(), id));
    MENTOR_RETURN_IF_ERROR(WriteEvent(StoreEvent::Kind::kUpdated, revision, now_ns, experiment));
    MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.in_db")));
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  MENTOR_RETURN_IF_ERROR(Hit(MENTOR_FAILPOINT("store.commit.before_ack")));
  hub_->Notify({.name = "experiments/" + id});
  return absl::OkStatus();
}

absl::Status SqlStore::RecordPoints(std::string_view uid, uint32_t step,
                                    const std::map<std::string, double>& results,
                                    const std::map<std::string, double>& timings) {
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
  MENTOR_RETURN_IF_ERROR(RequireAtWork(uid).status());
  MENTOR_RETURN_IF_ERROR(WritePoints(uid, step, results, /*reproducible=*/true));
  MENTOR_RETURN_IF_ERROR(WritePoints(uid, step, timings, /*reproducible=*/false));
  return writing->Commit();
}

absl::StatusOr<std::map<std::string, Series>> SqlStore::Points(std::string_view uid,
                                                               const std::set<std::string>& metrics,
                                                               uint32_t step_min,
                                                               uint32_t step_max) {
  std::map<std::string, Series> points;
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(
      "SELECT metric, step, value FROM points WHERE uid = ? AND step >= ? AND step <= ? ORDER BY "
      "metric, step");
  row.Bind(uid).Bind(int64_t{step_min}).Bind(int64_t{step_max});
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return points;
    std::string metric = row.Text(0);
    if (!metrics.empty() && !metrics.contains(metric)) continue;
    points[std::move(metric)].emplace_back(static_cast<uint32_t>(row.Integer(1)), row.Double(2));
  }
}

absl::StatusOr<std::vector<CheckpointRow>> SqlStore::Checkpoints(std::string_view uid) {
  std::vector<CheckpointRow> rows;
  const MutexLock lock(reader_mutex_);
  auto row = reader_->Query(
      "SELECT outer_step, size_bytes, sha256, state_hash, create_time, pinned FROM checkpoints "
      "WHERE uid = ? ORDER BY outer_step");
  row.Bind(uid);
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return rows;
    CheckpointRow& read = rows.emplace_back();
    read.outer_step = static_cast<uint32_t>(row.Integer(0));
    read.path = CheckpointFolder(uid) / CheckpointFileName(read.outer_step);
    read.size_bytes = static_cast<uint64_t>(row.Integer(1));
    read.sha256 = row.Text(2);
    read.state_hash = row.Text(3);
    read.create_time_ns = row.Integer(4);
    read.pinned = row.Integer(5) != 0;
  }
}

absl::StatusOr<CheckpointRow> SqlStore::PinCheckpoint(std::string_view uid, uint32_t step,
                                                      bool pinned) {
  {
    const MutexLock lock(writer_mutex_);
    MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
    MENTOR_RETURN_IF_ERROR(
        writer_->Query("UPDATE checkpoints SET pinned = ? WHERE uid = ? AND outer_step = ?")
            .Bind(int64_t{pinned})
            .Bind(uid)
            .Bind(int64_t{step})
            .Run());
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  MENTOR_ASSIGN_OR_RETURN(const std::vector<CheckpointRow> rows, Checkpoints(uid));
  for (const CheckpointRow& row : rows) {
    if (row.outer_step == step) return row;
  }
  return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound,
                   absl::StrFormat("there is no checkpoint of outer update %d", step));
}

absl::Status SqlStore::ReconcileCheckpoints(std::string_view uid,
                                            const std::vector<uint32_t>& steps_present,
                                            const std::vector<CheckpointInfo>& infos) {
  const std::set<uint32_t> present(steps_present.begin(), steps_present.end());
  const MutexLock lock(writer_mutex_);
  MENTOR_ASSIGN_OR_RETURN(const auto writing, BeginWriting());
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
  return writing->Commit();
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
        "%s is not empty (it has %s) and is not a state folder: choose a new or empty one",
        folder.string(), name));
  }
  return WriteFileAtomically(file, kFormat);
}

absl::StatusOr<std::unique_ptr<ExperimentStore>> Open(const StoreOptions& options) {
  const std::filesystem::path& folder = options.folder;
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder));
  MENTOR_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock,
                          FileLock::Acquire(folder / "LOCK", "a meta-learner"));
  MENTOR_RETURN_IF_ERROR(CheckFormat(folder));
  MENTOR_RETURN_IF_ERROR(RemoveTemporaryFiles(folder).status());
  MENTOR_RETURN_IF_ERROR(MakeFolders(folder / "experiments"));
  const auto open = [&](bool read_only) {
    return options.database.empty() ? sql::OpenSqlite(folder / "mentor.db", read_only)
                                    : sql::OpenPostgres(options.database, read_only);
  };
  MENTOR_ASSIGN_OR_RETURN(auto writer, open(/*read_only=*/false));
  MENTOR_RETURN_IF_ERROR(sql::Migrate(writer.get(), folder));
  MENTOR_ASSIGN_OR_RETURN(auto reader, open(/*read_only=*/true));
  auto store =
      std::make_unique<SqlStore>(folder, std::move(lock), std::move(writer), std::move(reader));
  MENTOR_RETURN_IF_ERROR(store->Start());
  return store;
}

}  // namespace

int PageSize(int asked, Violations* violations) {
  constexpr int kDefault = 50, kMax = 1000;
  if (asked < 0) {
    violations->Add("page_size",
                    absl::StrFormat("is %d; give 0 for the default, or a positive number", asked));
  }
  return asked <= 0 ? kDefault : std::min(asked, kMax);
}

absl::Status CheckEtag(std::string_view name, std::string_view expected, std::string_view found) {
  if (expected.empty() || expected == found) return absl::OkStatus();
  return MakeError(
      absl::StatusCode::kAborted, Reason::kEtagMismatch,
      absl::StrFormat("%s has changed in between; read it again, then repeat", name),
      {{"expected", std::string(expected.substr(0, 100))}, {"found", std::string(found)}});
}

absl::StatusOr<v1::Experiment> ExperimentStore::Transition(std::string_view name,
                                                           const std::set<State>& from, State to,
                                                           const absl::Status& error) {
  for (const State state : from) MENTOR_CHECK(IsLegalTransition(state, to));
  return Change(name, "", [&](v1::Experiment* experiment) -> absl::Status {
    if (!from.contains(experiment->state())) {
      const std::string allowed = absl::StrJoin(
          from, ", ", [](std::string* out, State state) { out->append(StateText(state)); });
      return MakeError(
          absl::StatusCode::kFailedPrecondition, Reason::kIllegalTransition,
          absl::StrFormat("%s is %s; it can become %s only from %s", experiment->name(),
                          StateText(experiment->state()), StateText(to), allowed),
          {{"state", std::string(StateText(experiment->state()))},
           {"verb", std::string(StateText(to))}});
    }
    experiment->set_state(to);
    if (!error.ok()) *experiment->mutable_error() = StatusToProto(error);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(const StoreOptions& options,
                                                           OpenError* error) {
  auto store = Open(options);
  if (error != nullptr) {
    const std::string reason = ReasonOf(store.status());
    *error = store.ok()                              ? OpenError::kNone
             : reason == ReasonName(Reason::kInUse)  ? OpenError::kInUse
             : reason == ReasonName(Reason::kTooNew) ? OpenError::kTooNew
                                                     : OpenError::kOther;
  }
  return store;
}

absl::StatusOr<std::unique_ptr<ExperimentStore>> OpenStore(
    const std::filesystem::path& state_folder, OpenError* error) {
  return OpenStore(StoreOptions{.folder = state_folder}, error);
}

}  // namespace mentor::meta_learner
