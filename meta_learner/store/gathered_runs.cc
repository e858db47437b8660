#include "meta_learner/store/gathered_runs.h"

#include <algorithm>
#include <fstream>
#include <system_error>
#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <sys/stat.h>

#include "common/check.h"
#include "common/file.h"
#include "common/resources/names.h"
#include "common/resources/states.h"
#include "meta_learner/store/database.h"
#include "meta_learner/store/schema.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/store_database.h"

namespace mentor::meta_learner {
namespace {

using sql::Database;

constexpr size_t kIdBytesMax = 63;
constexpr std::string_view kRunId = "run";  // As `mentor run` names its experiment.

absl::Status CheckVersion(Database* database, const std::filesystem::path& state) {
  const absl::Status status = sql::CheckSchema(database);
  if (!absl::IsUnavailable(status)) return status;
  return absl::FailedPreconditionError(
      absl::StrFormat("%s was written by an older version; 'mentor report %s' brings it up to date",
                      state.string(), state.string()));
}

// Nothing works on an experiment at rest, so it is shown as PAUSED.
v1::Progress AtRest(v1::Progress progress) {
  progress.clear_env_steps_per_second();
  progress.set_seconds_left(-1);
  return progress;
}

// Writes the row of `row`, which has the columns of the table experiments.
absl::Status WriteRow(const sql::Query& row, const std::string& id, int64_t revision, bool at_work,
                      Database* to) {
  const sql::Table& table = sql::TableOf("experiments");
  const std::vector<std::string> names = absl::StrSplit(std::string(table.columns), ", ");
  std::vector<std::string> kept, changes;
  for (const std::string& name : names) {
    if (name == "number") continue;  // The copy's own.
    kept.push_back(name);
    changes.push_back(absl::StrCat(name, " = excluded.", name));
  }
  auto copy =
      to->Query(absl::StrCat("INSERT INTO experiments(", absl::StrJoin(kept, ", "), ") VALUES(",
                             absl::StrJoin(std::vector<std::string>(kept.size(), "?"), ", "),
                             ") ON CONFLICT(uid) DO UPDATE SET ", absl::StrJoin(changes, ", ")));
  const auto column = [&](std::string_view name) {
    return static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  // A copy must not prove what the original does not.
  MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment, sql::ExperimentOf(row));
  const State state = experiment.state();
  const bool rests = !at_work && !IsFinal(state);
  for (const std::string& name : kept) {
    const int i = column(name);
    if (name == "id") {
      copy.Bind(id);
    } else if (name == "revision") {
      copy.Bind(revision);
    } else if (name == "state") {
      copy.Bind(rests ? v1::Experiment::STATE_PAUSED : state);
    } else if (name == "progress" && rests) {
      copy.Bind(sql::Blob{AtRest(experiment.progress()).SerializeAsString()});
    } else {
      sql::BindValue(table.types[static_cast<size_t>(i)], row, i, &copy);
    }
  }
  MENTOR_RETURN_IF_ERROR(copy.Run());
  return sql::SealExperiment(experiment.uid(), to);
}

absl::Status CopyCheckpoints(const std::string& uid, Database* from, Database* to) {
  MENTOR_RETURN_IF_ERROR(to->Run("DELETE FROM checkpoints WHERE uid = ?", uid));
  return sql::CopyRows(sql::TableOf("checkpoints"), "uid", uid, from, to);
}

// Copies the points from `*last_step` on, and moves it. Earlier ones never change.
absl::Status CopyPoints(const std::string& uid, int64_t* last_step, Database* from, Database* to) {
  auto row =
      from->Query("SELECT metric, step, value, crc32c FROM points WHERE uid = ? AND step >= ?", uid,
                  *last_step);
  while (true) {
    MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
    if (!found) return absl::OkStatus();
    *last_step = std::max(*last_step, row.Integer(1));
    MENTOR_RETURN_IF_ERROR(
        sql::WritePoint(uid, row.Text(0), row.Integer(1), row.Double(2), row.Integer(3), to));
  }
}

absl::Status Link(const std::filesystem::path& to, const std::filesystem::path& link) {
  std::error_code error;
  std::filesystem::create_directory_symlink(std::filesystem::absolute(to), link, error);
  // An attempt that failed later may have left it.
  if (!error || error == std::errc::file_exists) return absl::OkStatus();
  return FileError("cannot make link", link, error.value());
}

}  // namespace

// Only looks: a lock of our own, however short, could refuse a process that begins now.
std::set<uint64_t> GatheredRuns::LockedFiles() {
  std::set<uint64_t> inodes;
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    // "1: FLOCK ADVISORY WRITE 1234 fe:00:5678 0 EOF"
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    uint64_t inode = 0;
    if (words.size() == 8 && words[1] == "FLOCK" &&
        absl::SimpleAtoi(words[5].substr(words[5].rfind(':') + 1), &inode))
      inodes.insert(inode);
  }
  return inodes;
}

GatheredRuns::Mark GatheredRuns::MarkOf(const std::filesystem::path& state,
                                        const std::set<uint64_t>& locked) {
  const std::filesystem::path file = state / "mentor.db", log = file.string() + "-wal";
  std::error_code error;
  Mark mark;
  mark.database = std::filesystem::last_write_time(file, error);
  mark.log = std::filesystem::last_write_time(log, error);
  const uintmax_t bytes = std::filesystem::file_size(log, error);
  mark.log_bytes = error ? 0 : bytes;
  struct stat lock {};
  mark.at_work = stat((state / "LOCK").c_str(), &lock) == 0 && locked.contains(lock.st_ino);
  return mark;
}

std::string GatheredRuns::NewId(const std::string& name,
                                const std::map<std::string, Known>& known) {
  std::string id = absl::AsciiStrToLower(name);
  for (char& c : id) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c))) c = '-';
  }
  if (id.empty() || !absl::ascii_isalpha(static_cast<unsigned char>(id.front())))
    id = absl::StrCat(std::string(kRunId), "-", id);
  for (int number = 1;; ++number) {
    const std::string suffix = number == 1 ? "" : absl::StrCat("-", number);
    std::string unique = id.substr(0, kIdBytesMax - suffix.size());
    unique.erase(unique.find_last_not_of('-') + 1);
    unique += suffix;
    if (std::none_of(known.begin(), known.end(),
                     [&](const auto& one) { return one.second.id == unique; }))
      return unique;
  }
}

absl::Status GatheredRuns::Copy(const Mark& mark, Source* source) {
  MENTOR_ASSIGN_OR_RETURN(const auto from, sql::OpenSqliteToLook(source->state / "mentor.db"));
  MENTOR_RETURN_IF_ERROR(CheckVersion(from.get(), source->state));
  MENTOR_ASSIGN_OR_RETURN(const auto reading, sql::Transaction::BeginRead(from.get()));
  StoreDatabase* const database = store_->database.get();
  std::map<std::string, Known> known = known_;
  std::vector<std::string> fresh;
  {
    const MutexLock lock(database->writer_mutex);
    Database* const to = database->writer.get();
    MENTOR_ASSIGN_OR_RETURN(const auto writing, database->BeginWriting());
    auto row = from->Query(sql::Select("experiments", "ORDER BY number"));
    while (true) {
      MENTOR_ASSIGN_OR_RETURN(const bool found, row.Step());
      if (!found) break;
      const std::string uid = row.Text(1), id = row.Text(2);
      auto one = known.find(uid);
      const bool is_new = one == known.end();
      if (is_new) {
        const std::string own = NewId(id == kRunId ? source->name : id, known);
        one = known.emplace(uid, Known{.state = source->state, .id = own}).first;
        fresh.push_back(uid);
      } else if (one->second.state != source->state) {
        return absl::AlreadyExistsError(absl::StrFormat(
            "%s and %s hold the same experiment: one is a copy of the other; name one of them",
            one->second.state.string(), source->state.string()));
      }
      MENTOR_ASSIGN_OR_RETURN(const int64_t revision, database->NextRevision());
      MENTOR_RETURN_IF_ERROR(WriteRow(row, one->second.id, revision, mark.at_work, to));
      MENTOR_RETURN_IF_ERROR(CopyCheckpoints(uid, from.get(), to));
      MENTOR_RETURN_IF_ERROR(CopyPoints(uid, &one->second.last_step, from.get(), to));
      MENTOR_ASSIGN_OR_RETURN(const v1::Experiment experiment,
                              database->GetWith(to, one->second.id));
      MENTOR_RETURN_IF_ERROR(
          database->WriteEvent(is_new ? StoreEvent::Kind::kCreated : StoreEvent::Kind::kUpdated,
                               revision, StoreDatabase::NowNs(), experiment));
    }
    for (const std::string& uid : fresh) {
      MENTOR_RETURN_IF_ERROR(
          Link(source->state / "experiments" / uid, store_->files.ExperimentFolder(uid)));
    }
    MENTOR_RETURN_IF_ERROR(writing->Commit());
  }
  known_ = std::move(known);
  source->mark = mark;
  database->hub->Notify({.name = std::string(kExperimentsPrefix)});
  return absl::OkStatus();
}

absl::Status GatheredRuns::Add(const std::filesystem::path& state, const std::string& name) {
  std::error_code error;
  if (!std::filesystem::exists(state / "FORMAT", error)) {
    return absl::NotFoundError(
        absl::StrFormat("%s %s: expected the folder that `mentor run --out` wrote", state.string(),
                        std::filesystem::exists(state, error) ? "is not a run" : "does not exist"));
  }
  Source source{.state = state, .name = name};
  MENTOR_RETURN_IF_ERROR(Copy(MarkOf(state, LockedFiles()), &source));
  sources_.push_back(std::move(source));
  return absl::OkStatus();
}

absl::Status GatheredRuns::Look() {
  absl::Status first;
  const std::set<uint64_t> locked = LockedFiles();
  for (Source& source : sources_) {
    const Mark mark = MarkOf(source.state, locked);
    if (mark != source.mark) first.Update(Copy(mark, &source));
  }
  return first;
}

}  // namespace mentor::meta_learner
