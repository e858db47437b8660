#include <algorithm>
#include <map>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <google/protobuf/util/time_util.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/resources/names.h"
#include "common/sealed.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/store/sql_recovery.h"
#include "meta_learner/store/sql_rows.h"
#include "meta_learner/store/state_folder.h"

namespace mentor::meta_learner {

void Remembered::Add(const std::string& place, const v1::ExperimentSpec& spec, bool sealed) {
  candidates_.push_back({.place = place, .spec = spec, .hash = SpecHash(spec), .sealed = sealed});
}

absl::Status Remembered::ReadFolder() {
  const std::filesystem::path file = folder_ / kAboutFile;
  auto about = ReadAbout(folder_);
  if (about.ok()) {
    const auto bytes = ReadFile(file, UINT64_MAX / 2);
    Add(std::string(kAboutFile), about->spec(), bytes.ok() && IsSealed(*bytes));
    about_ = *std::move(about);
  } else if (absl::IsDataLoss(about.status())) {
    damage_ = std::string(about.status().message());
  } else if (!absl::IsNotFound(about.status())) {
    return about.status();
  } else if (struct stat info{}; stat((folder_ / kSpecFile).c_str(), &info) == 0) {
    // Earlier versions wrote the specs alone.
    *about_.mutable_create_time() =
        google::protobuf::util::TimeUtil::TimeTToTimestamp(info.st_mtime);
  }
  for (const std::string_view name : {kSpecFile, kMergedSpecFile}) {
    const auto spec = ReadSpecFile(folder_ / name);
    if (spec.ok()) {
      Add(std::string(name), *spec);
    } else if (!absl::IsDataLoss(spec.status()) && !absl::IsNotFound(spec.status())) {
      return spec.status();
    }
  }
  return absl::OkStatus();
}

void Remembered::ReadRow(const sql::Query& row) {
  const sql::RowSpecs specs = sql::SpecsOf(row);
  row_hash_ = specs.hash;
  for (const std::string* bytes : {&specs.submitted, &specs.merged}) {
    v1::ExperimentSpec spec;
    if (spec.ParseFromString(*bytes)) Add("the damaged row", spec);
  }
  if (!about_.name().empty()) return;
  is_from_row_ = true;
  about_.set_name(ExperimentName(row.Text(sql::kIdColumn)));
  about_.set_owner(sql::OwnerOf(row));
}

const Remembered::Candidate* Remembered::With(const std::string& hash) const {
  for (const Candidate& candidate : candidates_) {
    if (candidate.hash == hash) return &candidate;
  }
  return nullptr;
}

std::string Remembered::CommonHash() const {
  std::map<std::string, int> count;
  for (const Candidate& candidate : candidates_) ++count[candidate.hash];
  // The row's own hash counts where a spec has it.
  if (count.contains(row_hash_)) ++count[row_hash_];
  std::string best;
  int most = 0;
  bool is_tie = false;
  for (const auto& [hash, times] : count) {
    is_tie = times == most || (is_tie && times < most);
    if (times > most) best = hash;
    most = std::max(most, times);
  }
  return is_tie ? "" : best;
}

absl::Status Remembered::NothingProves(const std::string& checkpoint_hash) const {
  std::vector<std::string> found;
  for (const Candidate& candidate : candidates_)
    found.push_back(absl::StrCat(candidate.place, " has ", candidate.hash));
  std::string text = absl::StrCat(folder_.string(), ": ");
  if (candidates_.empty()) {
    absl::StrAppend(&text, "no file has a readable spec");
  } else if (!checkpoint_hash.empty()) {
    absl::StrAppend(&text, "the whole checkpoints are of a spec with the hash ", checkpoint_hash,
                    ", and ", absl::StrJoin(found, ", "), ": put the right one into ",
                    std::string(kSpecFile));
  } else {
    absl::StrAppend(&text, "nothing proves one of these specs: ", absl::StrJoin(found, ", "));
  }
  if (!damage_.empty()) absl::StrAppend(&text, "; ", damage_);
  return MakeError(Reason::kDataLoss, text);
}

absl::StatusOr<v1::Experiment> Remembered::Choose(const std::string& checkpoint_hash,
                                                  std::string* from) const {
  const Candidate* chosen = nullptr;
  std::string why;
  if (!checkpoint_hash.empty()) {
    chosen = With(checkpoint_hash);
    why = "its hash is that of the checkpoints";
  } else if (!candidates_.empty() && candidates_.front().sealed) {
    chosen = &candidates_.front();
    why = "its SHA-256 is right";
  } else if (damage_.empty()) {
    chosen = With(CommonHash());
    why = candidates_.size() > 1 ? "most places have it" : "no other place has one";
  }
  if (chosen == nullptr) return NothingProves(checkpoint_hash);
  *from = absl::StrCat("spec ", chosen->hash, " from ", chosen->place, ": ", why);
  for (const Candidate& other : candidates_) {
    if (other.hash != chosen->hash)
      absl::StrAppend(from, "; ", other.place, " has ", other.hash, " and is damaged");
  }
  if (!damage_.empty()) absl::StrAppend(from, "; ", damage_);
  if (!damage_.empty() || is_from_row_) {
    absl::StrAppend(from, "; settings are lost, and ",
                    is_from_row_ ? "name and owner come from the damaged row: check them"
                                 : "name and owner are made up: check them");
  }
  v1::Experiment experiment = about_;
  *experiment.mutable_spec() = chosen->spec;
  return experiment;
}

}  // namespace mentor::meta_learner
