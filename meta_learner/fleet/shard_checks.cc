// The part of ShardBoard that checks results: which shards are audited, who is found out, and what
// becomes of results that may be wrong. Results of a call that is still open are computed again.
// Results that were used cannot be taken back, so the experiment gets a warning.
#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/hash.h"
#include "common/history.h"
#include "common/sealed.h"
#include "common/uuid.h"
#include "meta_learner/fleet/shard_board.h"
#include "shards/shard_done.h"

namespace mentor::meta_learner {
namespace {

// Warnings that are remembered, to be changed when more is known.
constexpr size_t kWarningsMax = 1024;
// Bytes of a learner's reason that a warning repeats.
constexpr size_t kWhyBytesMax = 500;

// "learner rack-7/0b5c..."
std::string Sentence(const std::set<std::string>& learners) {
  return absl::StrCat(learners.size() == 1 ? "learner " : "learners ",
                      absl::StrJoin(learners, " and "));
}

}  // namespace

std::string HashOfAnswer(const v1::ShardDone& done) {
  v1::ShardDone answer = done;
  answer.clear_shard_id();
  answer.clear_epoch();
  answer.clear_seconds();
  Sha256 hash;  // Compared only within this process.
  hash.Update(StableBytes(answer));
  return hash.Finish();
}

std::string ShardBoard::Warning::Text() const {
  if (!clean) return why + "; what they computed was discarded and is computed again";
  if (*clean == 0)
    return why +
           "; the outer updates from the first on may have used their numbers: create the "
           "experiment again";
  return absl::StrFormat(
      "%s; what came after outer update %d may have used their numbers: clone the checkpoint of "
      "outer update %d, or an earlier one (mentorctl clone %s/checkpoints/%d)",
      why, *clean, *clean, experiment, *clean);
}

void ShardBoard::SetStage(const std::string& experiment, Stage stage) {
  const MutexLock lock(mutex_);
  stages_[experiment].stage = std::move(stage);
}

std::vector<ShardBoard::Warning> ShardBoard::TakeWarnings() {
  std::vector<Warning> changed;
  const MutexLock lock(mutex_);
  for (auto& [key, told] : warnings_) {
    if (std::exchange(told.changed, false)) changed.push_back(told.warning);
  }
  if (warnings_.size() > kWarningsMax) warnings_.clear();
  return changed;
}

// Beside the sample, one shard of an experiment is audited in any case. Its call is drawn among the
// calls to come, so no learner can wait until it is over.
void ShardBoard::ChooseAuditsLocked(const Call& call) {
  const uint32_t every = options_.check_every;
  if (every == 0 || call.shards == 0) return;
  const auto found = stages_.find(call.experiment);
  if (found == stages_.end()) return;
  Progressing& own = found->second;
  if (own.audited) return;
  const Stage& stage = own.stage;
  const uint64_t calls = stage.total > stage.done ? stage.total - stage.done : 0;
  if (!own.calls_left) own.calls_left = SecretBelow(std::clamp<uint64_t>(calls, 1, every));
  // The calls without updates to come are those of the evaluation.
  if (calls > 0 && *own.calls_left > 0) {
    --*own.calls_left;
    return;
  }
  jobs_.at(call.first_shard + SecretBelow(call.shards))->audited = true;
  own.audited = true;
}

// The choice is made when the first result is there. It includes early shards of each learner, so
// one whose results are all wrong is found before an outer update uses any.
bool ShardBoard::IsChosenLocked(const Job& job, Learner* learner) {
  const uint32_t every = options_.check_every;
  const auto at = stages_.find(job.shard->experiment());
  const bool early = at != stages_.end() && learner->spans.Next(every);
  if (!early && !SecretOneIn(every)) return false;
  if (at != stages_.end()) at->second.audited = true;
  return true;
}

bool ShardBoard::CanBeAuditedLocked(const Job& job, bool elsewhere) const {
  const ShardFacts shard = FactsLocked(job);
  return std::any_of(
      learners_.begin(), learners_.end(),
      [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        const Learner& learner = entry.second;
        const bool answers =
            !learner.actorless_since || NowNs() - *learner.actorless_since < options_.actors_wait;
        return answers && !(elsewhere && job.audit.HasHost(learner.info.host)) &&
               Judge(FactsLocked(learner), shard, NowNs()).obstacle >= Obstacle::kSuspect;
      });
}

bool ShardBoard::AuditLocked(Job* job, Learner* from, const v1::ShardDone& done) {
  const Learner& learner = *from;
  if (!job->audited) job->audited = IsChosenLocked(*job, from);
  if (!job->audited) return false;
  const std::string hash = HashOfAnswer(done);
  if (job->audit.Has([&](const auto& answer) { return answer.hash == hash; })) {
    ++counts_.audited;
    const std::set<std::string> wrong = job->audit.OthersThan(hash);
    EndAuditLocked(job);
    if (wrong.empty()) return false;
    const std::string why = Sentence(wrong) + " computed a shard wrongly, as two others agree";
    WarnLocked(*job, why);
    FindOutLocked(wrong, /*decided=*/true, why);
    return false;
  }
  const bool differs = !job->audit.empty();
  // An answer pins the experiment's arithmetic, as a result does: another arithmetic would give
  // other bits.
  if (!differs) ++arithmetics_[job->shard->experiment()].shards;
  job->audit.Add(
      {.learner = learner.info.name, .host = learner.info.host, .hash = hash, .epoch = job->epoch},
      &job->result);
  if (differs) DivergedLocked(job);
  // SettleAuditsLocked handles the case that no other learner can be asked.
  ReturnLocked(job);
  return true;
}

void ShardBoard::EndAuditLocked(Job* job) {
  if (job->audit.empty()) return;
  LetGoLocked(job->shard->experiment());
  if (job->audit.disputed()) CountSuspectsLocked(job->audit.learners(), -1);
  job->audit = {};
}

void ShardBoard::CountSuspectsLocked(const std::set<std::string>& names, int change) {
  for (const std::string& name : names) {
    if ((suspects_[name] += change) == 0) suspects_.erase(name);
  }
}

void ShardBoard::DivergedLocked(Job* job) {
  ++counts_.divergences;
  std::vector<std::string> names;
  for (const auto& answer : job->audit.answers()) names.push_back(answer.learner);
  if (names.size() == 2) CountSuspectsLocked({names.begin(), names.end()}, 1);
  if (names.size() > 2) CountSuspectsLocked({names.back()}, 1);
  if (options_.on_divergence) options_.on_divergence(job->shard->experiment(), names);
}

void ShardBoard::SettleAuditsLocked() {
  for (auto& entry : jobs_) {
    Job* const job = entry.second.get();
    if (job->done || job->learner || job->audit.empty()) continue;
    if (CanBeAuditedLocked(*job, /*elsewhere=*/false) && job->losses < options_.losses_max)
      continue;
    if (job->audit.disputed()) {
      const std::set<std::string> names = job->audit.learners();
      const std::string why = Sentence(names) +
                              " gave different bits for one shard, and no other learner was there "
                              "to decide";
      job->taken_back = why;
      WarnLocked(*job, why);
      EndAuditLocked(job);
      FindOutLocked(names, /*decided=*/false, why);
      continue;
    }
    LeaveLineLocked(*job);
    ShardAudit<ShardResult>::Answer answer;
    job->result = job->audit.TakeFirst(&answer);
    job->epoch = job->done_epoch = answer.epoch;
    job->done_by = answer.learner;
    MENTOR_HISTORY("stands", {{"shard", entry.first}, {"epoch", job->epoch}});
    job->Finish();
  }
}

void ShardBoard::FindOutLocked(const std::set<std::string>& names, bool decided,
                               const std::string& why) {
  std::set<std::string> gone = names;
  for (auto& [id, learner] : learners_) {
    if (!names.contains(learner.info.name)) continue;
    gone.erase(learner.info.name);
    learner.doubted = NowNs();
    decided ? learner.standing.Ban() : learner.standing.Quarantine(NowNs());
    ++counts_.quarantines;
    if (options_.on_strike) options_.on_strike(learner.info, kDiverged, /*quarantined=*/true);
  }
  for (const std::string& name : gone) {
    Standing standing = departed_.Returned(name, options_.standing);
    decided ? standing.Ban() : standing.Quarantine(NowNs());
    departed_.Left(name, standing);
  }
  for (auto& [id, job] : jobs_) {
    const bool runs = job->learner && names.contains(learners_.at(*job->learner).info.name);
    if (runs) TakeBackLocked(job.get());
    bool had = runs;
    for (const std::string& name : names)
      had |= TakeBackResultLocked(job.get(), name, /*epoch=*/std::nullopt, why);
    if (!had) continue;
    job->taken_back = why;
    WarnLocked(*job, why);
  }
  for (auto& [id, used] : used_) {
    if (names.contains(used.learner)) WarnLocked(used.experiment, used.uid, why, used.done);
  }
}

bool ShardBoard::TakeBackResultLocked(Job* job, const std::string& learner,
                                      std::optional<uint64_t> epoch, const std::string& why) {
  if (job->done) {
    if (job->done_by != learner || (epoch && job->done_epoch != *epoch)) return false;
    job->audit = {};  // Its pin is now that of the result.
    job->done = false;
    ++job->call->open;
    ++counts_.reassigned;
    ReturnLocked(job);
  } else if (job->audit.Has([&](const auto& answer) {
               return answer.learner == learner && (!epoch || answer.epoch == *epoch);
             })) {
    EndAuditLocked(job);
  } else {
    return false;
  }
  job->taken_back = why;
  return true;
}

void ShardBoard::TakenBack(LearnerId id, const v1::ShardDone& done) {
  std::string why = done.error().substr(sizeof(shards::kTakenBack) - 1, kWhyBytesMax);
  std::ranges::replace_if(
      why, [](char c) { return c < ' ' || c > '~'; }, '?');
  const MutexLock lock(mutex_);
  Learner& learner = learners_.at(id);
  const auto found = jobs_.find(done.shard_id());
  if (found == jobs_.end()) {
    const auto used = used_.find(done.shard_id());
    if (used != used_.end() && used->second.learner == learner.info.name &&
        used->second.epoch == done.epoch())
      WarnLocked(used->second.experiment, used->second.uid, why, used->second.done);
    return;
  }
  Job* const job = found->second.get();
  if (job->learner == id && job->epoch == done.epoch()) {
    // A learner that takes back for ever does not fail the shard sooner than one that fails.
    if (++job->times_taken_back > options_.returns_max) {
      OnErrorLocked(job, &learner, done);
    } else {
      learner.shards.erase(done.shard_id());
      ++counts_.reassigned;
      ReturnLocked(job);
    }
  } else if (!TakeBackResultLocked(job, learner.info.name, done.epoch(), why)) {
    return;
  }
  job->taken_back = why;
  WarnLocked(*job, why);
  AssignLocked();
}

void ShardBoard::WarnLocked(const Job& job, const std::string& why) {
  const std::string& experiment = job.shard->experiment();
  TellLocked(experiment, {.name = "shard_taken_back",
                          .sentence = "a shard begins again, since its numbers may be wrong",
                          .learner = job.learner ? learners_.at(*job.learner).info.name : "",
                          .detail = why});
  const auto at = stages_.find(experiment);
  if (at != stages_.end()) WarnLocked(experiment, at->second.stage.uid, why, std::nullopt);
}

void ShardBoard::WarnLocked(const std::string& experiment, const std::string& uid,
                            const std::string& why, std::optional<uint32_t> clean) {
  const auto [entry, added] = warnings_.try_emplace(
      {uid, why}, Told{.warning = {.experiment = experiment, .uid = uid, .why = why}});
  Told& told = entry->second;
  std::optional<uint32_t>& known = told.warning.clean;
  if (clean && (!known || *clean < *known)) {
    known = clean;
    told.changed = true;
  }
}

}  // namespace mentor::meta_learner
