// Changes of users to existing experiments, one call at a time.
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "tests/fake_control.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using S = v1::Experiment;

struct Fixture : testing::FakeOperations {
  absl::Status CheckRoom() override {
    ++asked_for_room;
    return absl::OkStatus();
  }
  void Look(const v1::Experiment& experiment) override { looked.push_back(experiment.name()); }
  v1::Experiment Get(const std::string& name) const { return store->records.Get(name).value(); }
  std::string Add(const std::string& id, State state = S::STATE_QUEUED) {
    const std::string name = testing::CreateSmall(store.get(), id).name();
    if (state == S::STATE_PAUSED || state == S::STATE_CANCELLED || state == S::STATE_RUNNING) {
      REQUIRE(store->records.Transition(name, {S::STATE_QUEUED}, state).ok());
    } else if (state != S::STATE_QUEUED) {
      REQUIRE(store->records.Transition(name, {S::STATE_QUEUED}, S::STATE_RUNNING).ok());
      REQUIRE(store->records.Transition(name, {S::STATE_RUNNING}, state).ok());
    }
    return name;
  }

  testing::TempFolder folder;
  std::unique_ptr<Store> store = OpenStore(folder.path()).value();
  std::vector<std::string> looked;
  int asked_for_room = 0;
  const ServiceOptions options{.store = store.get(), .operations = this};
  const rpc::Caller owner{.name = std::string(kLocalOwner), .role = v1::ROLE_OPERATOR},
      stranger{.name = "eve", .role = v1::ROLE_OPERATOR},
      admin{.name = "root", .role = v1::ROLE_ADMIN};
};

// Each setting that an update can change, with another value than the default.
v1::Experiment Wanted(const std::string& name) {
  v1::Experiment wanted;
  wanted.set_name(name);
  wanted.set_display_name("a title");
  (*wanted.mutable_labels())["team"] = "b";
  wanted.set_priority(v1::PRIORITY_LOW);
  wanted.set_weight(9);
  wanted.mutable_retention()->set_keep_last(3);
  wanted.mutable_deadline()->set_seconds(4'000'000'000);
  wanted.set_retries_max(6);
  return wanted;
}

TEST_CASE("changes: an update sets each field by its own name, and all of them by a star",
          "[unit]") {
  Fixture fixture;
  const std::vector<std::string> fields = {"display_name", "labels",   "priority",   "weight",
                                           "retention",    "deadline", "retries_max"};
  // Returns the changes, field by field.
  const auto changed = [](const v1::Experiment& x) {
    std::vector<bool> set = {x.display_name() == "a title",
                             x.labels().contains("team") && !x.labels().contains("old"),
                             x.priority() == v1::PRIORITY_LOW,
                             x.weight() == 9,
                             x.retention().keep_last() == 3,
                             x.deadline().seconds() == 4'000'000'000,
                             x.retries_max() == 6};
    return set;
  };
  for (size_t i = 0; i <= fields.size(); ++i) {
    const std::string name = fixture.Add("e" + std::to_string(i));
    REQUIRE(fixture.store->records
                .Change(name, "",
                        [](v1::Experiment* experiment) {
                          (*experiment->mutable_labels())["old"] = "a";
                          return absl::OkStatus();
                        })
                .ok());
    v1::UpdateExperimentRequest request;
    *request.mutable_experiment() = Wanted(name);
    request.mutable_update_mask()->add_paths(i < fields.size() ? fields[i] : "*");
    // One that has passed is refused only where it is to be set.
    if (i < fields.size() && fields[i] != "deadline")
      request.mutable_experiment()->mutable_deadline()->set_seconds(1000);
    const auto updated = UpdateExperiment(fixture.options, request, fixture.owner);
    INFO(updated.status().ToString());
    REQUIRE(updated.ok());
    std::vector<bool> want(fields.size(), i == fields.size());
    if (i < fields.size()) want[i] = true;
    CHECK(changed(*updated) == want);
    CHECK(changed(fixture.Get(name)) == want);
    CHECK(fixture.looked.back() == name);
  }
  CHECK(fixture.looked.size() == fields.size() + 1);
}

TEST_CASE("changes: what is refused changes nothing and wakes nobody", "[unit]") {
  Fixture fixture;
  const std::string name = fixture.Add("one");
  const std::string before = fixture.Get(name).SerializeAsString();
  v1::UpdateExperimentRequest update;
  *update.mutable_experiment() = Wanted(name);
  update.mutable_update_mask()->add_paths("*");
  CHECK(ReasonOf(UpdateExperiment(fixture.options, update, fixture.stranger).status()) ==
        "NOT_OWNER");
  v1::PauseExperimentRequest pause;
  pause.set_name(name);
  CHECK(ReasonOf(PauseExperiment(fixture.options, pause, fixture.stranger).status()) ==
        "NOT_OWNER");
  pause.set_etag("W/other");
  CHECK(ReasonOf(PauseExperiment(fixture.options, pause, fixture.owner).status()) ==
        "ETAG_MISMATCH");
  v1::ResumeExperimentRequest resume;
  resume.set_name(name);
  CHECK(ReasonOf(ResumeExperiment(fixture.options, resume, fixture.stranger).status()) ==
        "NOT_OWNER");
  v1::CancelExperimentRequest cancel;
  cancel.set_name(name);
  CHECK(ReasonOf(CancelExperiment(fixture.options, cancel, fixture.stranger).status()) ==
        "NOT_OWNER");
  for (const bool force : {false, true}) {
    v1::DeleteExperimentRequest remove;
    remove.set_name(name);
    remove.set_force(force);
    // For a running or waiting experiment, a stranger first learns that it is not theirs.
    CHECK_FALSE(DeleteExperiment(fixture.options, remove, fixture.stranger).ok());
    remove.set_etag("W/other");
    CHECK_FALSE(DeleteExperiment(fixture.options, remove, fixture.owner).ok());
  }
  CHECK(fixture.Get(name).SerializeAsString() == before);
  CHECK(fixture.looked.empty());
  // An admin may.
  CHECK(UpdateExperiment(fixture.options, update, fixture.admin).ok());
  CHECK(fixture.looked.size() == 1);
}

TEST_CASE("changes: a pause is for the user, from now or already, and never of what ends",
          "[unit]") {
  Fixture fixture;
  const auto pause = [&](State state) {
    v1::PauseExperimentRequest request;
    request.set_name(fixture.Add("p" + std::to_string(state), state));
    return PauseExperiment(fixture.options, request, fixture.owner);
  };
  for (const auto& [from, to] :
       std::vector<std::pair<State, State>>{{S::STATE_QUEUED, S::STATE_PAUSED},
                                            {S::STATE_RUNNING, S::STATE_PAUSING},
                                            {S::STATE_PAUSING, S::STATE_PAUSING},
                                            {S::STATE_PAUSED, S::STATE_PAUSED}}) {
    INFO(from);
    const auto paused = pause(from);
    REQUIRE(paused.ok());
    CHECK(paused->state() == to);
    CHECK(paused->pause_reason() == S::PAUSE_REASON_USER);
  }
  for (const State state : {S::STATE_CANCELLING, S::STATE_CANCELLED, S::STATE_SUCCEEDED}) {
    INFO(state);
    const absl::Status refused = pause(state).status();
    CHECK(ReasonOf(refused) == "ILLEGAL_TRANSITION");
    CHECK(MetadataOf(refused, "verb") == "pause");
  }
}

TEST_CASE("changes: a cancellation keeps its first reason, of a thousand bytes at most", "[unit]") {
  Fixture fixture;
  const auto cancel = [&](const std::string& name, const std::string& reason) {
    v1::CancelExperimentRequest request;
    request.set_name(name);
    request.set_reason(reason);
    return CancelExperiment(fixture.options, request, fixture.owner);
  };
  const std::string queued = fixture.Add("q");
  CHECK(ReasonOf(cancel(queued, std::string(1001, 'x')).status()) == "INVALID_FIELD");
  CHECK(fixture.Get(queued).state() == S::STATE_QUEUED);
  const auto cancelled = cancel(queued, std::string(1000, 'x'));
  REQUIRE(cancelled.ok());
  CHECK(cancelled->state() == S::STATE_CANCELLED);
  CHECK(cancelled->error().message() == std::string(1000, 'x'));
  CHECK(cancelled->error().code() == static_cast<int>(absl::StatusCode::kCancelled));
  CHECK(cancel(queued, "again")->error().message() == std::string(1000, 'x'));

  const std::string running = fixture.Add("r", S::STATE_RUNNING);
  CHECK(cancel(running, "first")->state() == S::STATE_CANCELLING);
  CHECK(cancel(running, "second")->error().message() == "first");
  CHECK(cancel(fixture.Add("p", S::STATE_PAUSING), "")->state() == S::STATE_CANCELLING);
  CHECK_FALSE(cancel(fixture.Add("s", S::STATE_PAUSED), "")->has_error());
  for (const State state : {S::STATE_SUCCEEDED, S::STATE_FAILED}) {
    const std::string name = fixture.Add("e" + std::to_string(state), state);
    CHECK(ReasonOf(cancel(name, "").status()) == "ILLEGAL_TRANSITION");
  }
}

TEST_CASE("changes: a resume asks for room only where something is to be resumed", "[unit]") {
  Fixture fixture;
  const auto resume = [&](State state) {
    v1::ResumeExperimentRequest request;
    request.set_name(fixture.Add("r" + std::to_string(state), state));
    return ResumeExperiment(fixture.options, request, fixture.owner);
  };
  CHECK(resume(S::STATE_QUEUED)->state() == S::STATE_QUEUED);
  CHECK(resume(S::STATE_RUNNING)->state() == S::STATE_RUNNING);
  CHECK(ReasonOf(resume(S::STATE_PAUSING).status()) == "ILLEGAL_TRANSITION");
  CHECK(ReasonOf(resume(S::STATE_FAILED).status()) == "ILLEGAL_TRANSITION");
  CHECK(fixture.asked_for_room == 0);
  const auto resumed = resume(S::STATE_PAUSED);
  CHECK(resumed->state() == S::STATE_QUEUED);
  CHECK(resumed->pause_reason() == S::PAUSE_REASON_UNSPECIFIED);
  CHECK(fixture.asked_for_room == 1);
}

TEST_CASE("changes: a deletion by force ends what is there, or marks what has to end first",
          "[unit]") {
  Fixture fixture;
  const auto remove = [&](const std::string& name, bool force, const std::string& etag = "",
                          bool allow_missing = false) {
    v1::DeleteExperimentRequest request;
    request.set_name(name);
    request.set_force(force);
    request.set_etag(etag);
    request.set_allow_missing(allow_missing);
    return DeleteExperiment(fixture.options, request, fixture.owner);
  };
  for (const State state : {S::STATE_QUEUED, S::STATE_PAUSED, S::STATE_CANCELLED,
                            S::STATE_SUCCEEDED, S::STATE_FAILED}) {
    INFO(state);
    const std::string name = fixture.Add("a" + std::to_string(state), state);
    CHECK(ReasonOf(remove(name, true, "W/other")) == "ETAG_MISMATCH");
    // The etag is that of before the cancellation.
    CHECK(remove(name, true, fixture.Get(name).etag()).ok());
    CHECK(absl::IsNotFound(fixture.store->records.Get(name).status()));
  }
  for (const State state : {S::STATE_RUNNING, S::STATE_PAUSING, S::STATE_CANCELLING}) {
    INFO(state);
    const std::string name = fixture.Add("b" + std::to_string(state), state);
    CHECK(ReasonOf(remove(name, false)) == "ILLEGAL_TRANSITION");
    CHECK_FALSE(IsDeletedAtEnd(fixture.Get(name)));
    const absl::Status marked = remove(name, true);
    CHECK(absl::IsUnavailable(marked));
    CHECK(ReasonOf(marked).empty());
    CHECK(fixture.Get(name).state() == S::STATE_CANCELLING);
    CHECK(IsDeletedAtEnd(fixture.Get(name)));
    CHECK(absl::IsUnavailable(remove(name, true)));  // Once more is the same.
  }
  for (const bool force : {false, true}) {
    CHECK(absl::IsNotFound(remove("experiments/none", force)));
    CHECK(remove("experiments/none", force, "", /*allow_missing=*/true).ok());
  }
  // Without force, an etag is that of now.
  const std::string ended = fixture.Add("c", S::STATE_SUCCEEDED);
  CHECK(ReasonOf(remove(ended, false, "W/other")) == "ETAG_MISMATCH");
  CHECK(remove(ended, false, fixture.Get(ended).etag()).ok());
}

TEST_CASE("changes: only the shortest time to live is the mark of a deletion", "[unit]") {
  const auto is_mark = [](int64_t seconds, int32_t nanos) {
    v1::Experiment experiment;
    experiment.mutable_retention()->mutable_ttl()->set_seconds(seconds);
    experiment.mutable_retention()->mutable_ttl()->set_nanos(nanos);
    return IsDeletedAtEnd(experiment);
  };
  CHECK(is_mark(0, 1));
  CHECK_FALSE(is_mark(0, 0));
  CHECK_FALSE(is_mark(0, 2));
  CHECK_FALSE(is_mark(1, 1));
  CHECK_FALSE(IsDeletedAtEnd({}));
}

}  // namespace mentor::meta_learner::TEST_FILE
