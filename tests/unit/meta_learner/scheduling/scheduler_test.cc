// The scheduler over a real store, with runs that a test begins, ends and fails at will.
#include "meta_learner/scheduling/scheduler.h"

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include <google/protobuf/util/time_util.h>

#include "common/failpoint.h"
#include "common/log.h"
#include "common/mutex.h"
#include "common/status.h"
#include "meta_learner/store/database.h"
#include "tests/metric_value.h"
#include "tests/stores.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"

namespace mentor::meta_learner::TEST_FILE {

using google::protobuf::util::TimeUtil;
using S = v1::Experiment;
using Strings = std::vector<std::string>;
using mentor::testing::TempFolder;

constexpr auto kPatience = std::chrono::seconds(30);

class Fixture {
 public:
  explicit Fixture(Scheduler::Options options = {}) : options_(std::move(options)) {
    const Scheduler::Options defaults;
    options_.look_every = std::chrono::milliseconds(20);
    if (options_.retry_wait == defaults.retry_wait)
      options_.retry_wait = std::chrono::milliseconds(10);
    if (options_.store_wait == defaults.store_wait)
      options_.store_wait = std::chrono::milliseconds(10);
    store_ = OpenStore(folder_.path()).value();
    subscription_ = store_->records.Subscribe([this](const Records::Notice&) {
      const MutexLock lock(mutex_);
      changed_.NotifyAll();
    });
  }
  ~Fixture() { Stop(); }

  void Start() {
    options_.records = &store_->records;
    options_.results = &store_->results;
    options_.board = &board_;
    options_.disk = &disk_;
    options_.run = [this](const v1::Experiment& experiment, const std::atomic<bool>& cancel) {
      return Run(experiment.name(), cancel);
    };
    scheduler_ = std::make_unique<Scheduler>(options_, metrics_.get());
  }
  void Stop() {
    if (scheduler_ == nullptr) return;
    scheduler_->Stop();
    scheduler_.reset();
  }

  void Create(const std::string& id, v1::Priority priority = v1::PRIORITY_NORMAL,
              const std::string& owner = "ada",
              const std::function<void(v1::Experiment*)>& edit = nullptr) {
    NewExperiment experiment = testing::SmallExperiment(id);
    experiment.owner = owner;
    experiment.experiment.set_priority(priority);
    if (edit) edit(&experiment.experiment);
    const auto created = store_->records.Create(experiment);
    REQUIRE(created.ok());
    if (scheduler_ != nullptr) scheduler_->Look(*created);
  }
  void Move(const std::string& id, State from, State to) {
    const auto moved = store_->records.Transition("experiments/" + id, {from}, to);
    REQUIRE(moved.ok());
    scheduler_->Look(*moved);
  }
  v1::Experiment Get(const std::string& id) { return *store_->records.Get("experiments/" + id); }

  // The end of an experiment's next run: at once, in this way.
  void End(const std::string& id, const absl::Status& status = absl::OkStatus()) {
    const MutexLock lock(mutex_);
    ends_["experiments/" + id].push_back(status);
    changed_.NotifyAll();
  }
  // How runs end that are asked to stop.
  void ErrWhenStopped(const absl::Status& status) {
    const MutexLock lock(mutex_);
    stopped_ = status;
  }
  // Returns when housekeeping has looked at everything once more. It ends experiments past their
  // deadline, and then makes room for others.
  bool LookedAgain() {
    for (int i = 0; i < 2; ++i) {
      const std::string id = "late-" + std::to_string(late_++);
      Create(id, v1::PRIORITY_LOW, "zoe", [](v1::Experiment* experiment) {
        *experiment->mutable_deadline() = TimeUtil::SecondsToTimestamp(1000);
      });
      if (!WaitForState(id, S::STATE_FAILED)) return false;
    }
    return true;
  }
  template <typename Condition>
  bool WaitFor(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    MutexLock lock(mutex_);
    while (true) {
      lock.Unlock();
      const bool holds = condition();
      lock.Lock();
      if (holds) return true;
      if (std::chrono::steady_clock::now() > deadline) return false;
      changed_.WaitFor(lock, std::chrono::milliseconds(20));
    }
  }
  bool WaitForState(const std::string& id, State state) {
    return WaitFor([&] { return Get(id).state() == state; });
  }
  bool WaitForRunning(const Strings& ids) {
    return WaitFor([&] { return running() == ids; });
  }
  Strings running() {
    const MutexLock lock(mutex_);
    return {running_.begin(), running_.end()};
  }
  Strings begun() {
    const MutexLock lock(mutex_);
    return begun_;
  }
  std::vector<std::chrono::steady_clock::time_point> begun_at() {
    const MutexLock lock(mutex_);
    return begun_at_;
  }
  void Look(const v1::Experiment& experiment) { scheduler_->Look(experiment); }
  Store* store() { return store_.get(); }
  std::set<std::string> with_share() const { return board_.WithShare(); }
  DiskGuard* disk() { return &disk_; }
  double Count(const std::string& series) const { return testing::MetricValue(*metrics_, series); }
  double times_full() const { return Count("mentor_store_disk_full_total"); }
  // First waits in the queue.
  double waits(const std::string& priority) const {
    return Count("mentor_experiment_queue_wait_seconds_count{priority=\"" + priority + "\"}");
  }

 private:
  absl::Status Run(const std::string& name, const std::atomic<bool>& cancel) {
    const std::string id = name.substr(std::string_view("experiments/").size());
    MutexLock lock(mutex_);
    running_.insert(id);
    begun_.push_back(id);
    begun_at_.push_back(std::chrono::steady_clock::now());
    changed_.NotifyAll();
    absl::Status end = stopped_;
    while (!cancel) {
      if (std::vector<absl::Status>& ends = ends_[name]; !ends.empty()) {
        end = ends.front();
        ends.erase(ends.begin());
        break;
      }
      changed_.WaitFor(lock, std::chrono::milliseconds(5));
    }
    running_.erase(id);
    changed_.NotifyAll();
    return end;
  }

  Scheduler::Options options_;
  int late_ = 0;
  const TempFolder folder_;
  const std::unique_ptr<Metrics> metrics_ = Metrics::Create();
  ShardBoard board_{{}};
  DiskGuard disk_{folder_.path(), 0, metrics_.get()};
  std::unique_ptr<Store> store_;
  std::unique_ptr<Records::Subscription> subscription_;
  Mutex mutex_;
  CondVar changed_;
  std::set<std::string> running_ ABSL_GUARDED_BY(mutex_);
  Strings begun_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::chrono::steady_clock::time_point> begun_at_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<absl::Status>> ends_ ABSL_GUARDED_BY(mutex_);
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_) = absl::CancelledError("stopped");
  std::unique_ptr<Scheduler> scheduler_;
};

TEST_CASE("scheduler: an experiment that cannot be read does not hold up the queue (D10)",
          "[unit]") {
  Scheduler::Options options;
  options.running_max = 1;
  Fixture fixture(options);
  fixture.Create("bad");
  fixture.Create("good");
  {
    const auto database =
        sql::OpenSqlite(fixture.store()->files.folder() / "mentor.db", /*read_only=*/false);
    REQUIRE(database.ok());
    REQUIRE((*database)->Execute("UPDATE experiments SET details = x'ffff' WHERE id = 'bad'").ok());
  }
  fixture.End("good");
  fixture.Start();
  CHECK(fixture.WaitForState("good", S::STATE_SUCCEEDED));
  CHECK(fixture.begun() == Strings{"good"});
}

TEST_CASE("scheduler: so many at once, higher classes first, then in order", "[unit]") {
  Fixture fixture({.running_max = 2});
  fixture.Create("n1");
  fixture.Create("n2");
  fixture.Create("l1", v1::PRIORITY_LOW);
  fixture.Create("h1", v1::PRIORITY_HIGH);
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"h1", "n1"}));
  CHECK(fixture.Get("h1").has_start_time());
  fixture.End("h1");
  REQUIRE(fixture.WaitForRunning({"n1", "n2"}));
  CHECK(fixture.Get("h1").state() == S::STATE_SUCCEEDED);
  fixture.End("n1");
  fixture.End("n2");
  REQUIRE(fixture.WaitForRunning({"l1"}));
  fixture.End("l1");
  REQUIRE(fixture.WaitForState("l1", S::STATE_SUCCEEDED));
}

TEST_CASE("scheduler: the owner with least at work goes first, and none beyond its limit",
          "[unit]") {
  Fixture fixture({.running_max = 3, .running_per_owner_max = 2});
  for (const char* id : {"a1", "a2", "a3", "a4"}) fixture.Create(id);
  fixture.Create("b1", v1::PRIORITY_NORMAL, "bob");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"a1", "a2", "b1"}));
  fixture.End("b1");
  REQUIRE(fixture.WaitForState("b1", S::STATE_SUCCEEDED));
  fixture.Create("c1", v1::PRIORITY_NORMAL, "cem");  // a3 is older, but ada has two.
  REQUIRE(fixture.WaitForRunning({"a1", "a2", "c1"}));
  fixture.End("a1");
  REQUIRE(fixture.WaitForRunning({"a2", "a3", "c1"}));
}

TEST_CASE("scheduler: who runs less comes before who came first", "[unit]") {
  Fixture fixture({.running_max = 2});
  fixture.Create("a1");
  fixture.Create("a2");
  fixture.Create("b1", v1::PRIORITY_NORMAL, "bob");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"a1", "b1"}));
  fixture.End("a1");
  REQUIRE(fixture.WaitForRunning({"a2", "b1"}));
}

TEST_CASE("scheduler: pause, resume and cancel are effective at once", "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("a");
  fixture.Create("b");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"a"}));
  fixture.Move("a", S::STATE_RUNNING, S::STATE_PAUSING);
  REQUIRE(fixture.WaitForState("a", S::STATE_PAUSED));
  REQUIRE(fixture.WaitForRunning({"b"}));
  fixture.Move("a", S::STATE_PAUSED, S::STATE_QUEUED);
  fixture.Move("b", S::STATE_RUNNING, S::STATE_CANCELLING);
  REQUIRE(fixture.WaitForState("b", S::STATE_CANCELLED));
  REQUIRE(fixture.WaitForRunning({"a"}));
  CHECK(fixture.Get("a").preemptions() == 0);
  // The work was done before the pause arrived.
  fixture.End("a");
  REQUIRE(fixture.WaitForState("a", S::STATE_SUCCEEDED));
}

TEST_CASE("scheduler: a higher class takes the place of the lowest, which goes on later",
          "[unit]") {
  Fixture fixture({.running_max = 2, .low_share = 0});
  fixture.Create("low", v1::PRIORITY_LOW);
  fixture.Create("normal");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"low", "normal"}));
  fixture.Create("high", v1::PRIORITY_HIGH);
  REQUIRE(fixture.WaitForRunning({"high", "normal"}));
  CHECK(fixture.Get("low").state() == S::STATE_QUEUED);
  CHECK(fixture.Get("low").preemptions() == 1);
  fixture.Create("high2", v1::PRIORITY_HIGH);
  REQUIRE(fixture.WaitForRunning({"high", "high2"}));
  fixture.Create("high3", v1::PRIORITY_HIGH);  // It must wait for its own class.
  fixture.End("high");
  REQUIRE(fixture.WaitForRunning({"high2", "high3"}));
  fixture.End("high2");
  fixture.End("high3");
  REQUIRE(fixture.WaitForRunning({"low", "normal"}));
  CHECK(fixture.Get("high2").preemptions() == 0);
}

TEST_CASE("scheduler: who waits with a higher class gives a place of their own first", "[unit]") {
  Fixture fixture({.running_max = 2, .low_share = 0});
  fixture.Create("bobs", v1::PRIORITY_NORMAL, "bob");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"bobs"}));
  fixture.Create("adas");  // The newer one.
  REQUIRE(fixture.WaitForRunning({"adas", "bobs"}));
  fixture.Create("high", v1::PRIORITY_HIGH, "bob");
  REQUIRE(fixture.WaitForRunning({"adas", "high"}));
  CHECK(fixture.Get("adas").preemptions() == 0);
  CHECK(fixture.Get("bobs").preemptions() == 1);
  for (const char* id : {"high", "adas", "bobs"}) {
    fixture.End(id);
    REQUIRE(fixture.WaitForState(id, S::STATE_SUCCEEDED));
  }
}

TEST_CASE("scheduler: of two of one class the newer one gives its place", "[unit]") {
  Fixture fixture({.running_max = 2, .low_share = 0});
  // The order of the names is reversed.
  for (const auto& [older, newer] : {std::pair("a", "b"), std::pair("d", "c")}) {
    fixture.Create(older, v1::PRIORITY_LOW);
    fixture.Start();
    REQUIRE(fixture.WaitForRunning({older}));
    fixture.Create(newer, v1::PRIORITY_LOW);
    REQUIRE(fixture.WaitFor([&] { return fixture.running().size() == 2; }));
    fixture.Create(std::string("high-") + older, v1::PRIORITY_HIGH);
    REQUIRE(fixture.WaitForRunning({older, std::string("high-") + older}));
    CHECK(fixture.Get(newer).preemptions() == 1);
    CHECK(fixture.Get(older).preemptions() == 0);
    for (const std::string& id :
         {std::string("high-") + older, std::string(older), std::string(newer)}) {
      fixture.End(id);
      REQUIRE(fixture.WaitForState(id, S::STATE_SUCCEEDED));
    }
    fixture.Stop();
  }
}

TEST_CASE("scheduler: what belongs to another kind of machine is left alone", "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("other");
  fixture.Create("ours");
  fixture.End("other", MakeError(Reason::kNumericMismatch, "made by another kind of CPU"));
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"ours"}));
  fixture.End("ours");
  REQUIRE(fixture.WaitForState("ours", S::STATE_SUCCEEDED));
  fixture.Create("later");
  fixture.End("later");
  REQUIRE(fixture.WaitForState("later", S::STATE_SUCCEEDED));
  CHECK(fixture.begun() == Strings{"other", "ours", "later"});
  CHECK(fixture.Get("other").state() == S::STATE_RUNNING);  // For its own kind of machine.
  CHECK(fixture.Get("other").activity() == "made by another kind of CPU");
}

TEST_CASE("scheduler: each retry waits twice as long as the one before", "[unit]") {
  Fixture fixture;
  fixture.Create("a", v1::PRIORITY_NORMAL, "ada",
                 [](v1::Experiment* experiment) { experiment->set_retries_max(4); });
  for (int i = 0; i < 4; ++i) fixture.End("a", absl::InternalError("again"));
  fixture.Start();
  REQUIRE(fixture.WaitFor([&] { return fixture.begun().size() == 5; }));
  const auto times = fixture.begun_at();
  for (size_t i = 1; i < 5; ++i)
    CHECK(times[i] - times[i - 1] >= std::chrono::milliseconds(10 << (i - 1)));
}

TEST_CASE("scheduler: retries, failures, preemptions and first waits are counted, each once",
          "[unit]") {
  Fixture fixture({.running_max = 1, .low_share = 0});
  const auto counts = [&](const std::string& what, double number) {
    return fixture.WaitFor(
        [&] { return fixture.Count("mentor_experiment_" + what + "_total") == number; });
  };
  fixture.Create("a", v1::PRIORITY_NORMAL, "ada",
                 [](v1::Experiment* experiment) { experiment->set_retries_max(1); });
  for (int i = 0; i < 2; ++i) fixture.End("a", absl::InternalError("again"));
  fixture.Start();
  REQUIRE(counts("failures", 1));
  CHECK(fixture.Count("mentor_experiment_retries_total") == 1);
  CHECK(fixture.waits("normal") == 1);  // Not that for its retry.
  fixture.Create("low", v1::PRIORITY_LOW);
  REQUIRE(fixture.WaitForRunning({"low"}));
  fixture.Create("high", v1::PRIORITY_HIGH);
  REQUIRE(fixture.WaitForRunning({"high"}));
  fixture.End("high");
  REQUIRE(fixture.WaitForRunning({"low"}));
  CHECK(counts("preemptions", 1));
  CHECK(fixture.waits("high") == 1);
  CHECK(fixture.waits("low") == 1);  // Nor that of who goes on.
  fixture.Create("late", v1::PRIORITY_LOW, "ada", [](v1::Experiment* experiment) {
    *experiment->mutable_deadline() = TimeUtil::SecondsToTimestamp(1000);
  });
  CHECK(counts("failures", 2));
  CHECK(fixture.Count("mentor_experiment_retries_total") == 1);
}

TEST_CASE("scheduler: what is being taken pushes nobody out", "[unit]") {
  Fixture fixture({.running_max = 2, .low_share = 0});
  fixture.Create("low", v1::PRIORITY_LOW);
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"low"}));
  // For a while it is QUEUED in the store, although it has its place.
  REQUIRE(failpoint::Arm("store.transition.before_commit=*:sleep(100)").ok());
  fixture.Create("normal");
  const bool began = fixture.WaitForRunning({"low", "normal"});
  REQUIRE(failpoint::Arm("").ok());
  REQUIRE(began);
  CHECK(fixture.begun().size() == 2);
  CHECK(fixture.Get("low").preemptions() == 0);
}

TEST_CASE("scheduler: the lowest class gets its share of places, and keeps it", "[unit]") {
  Fixture fixture({.running_max = 1, .low_share = 0.25});
  fixture.Create("low", v1::PRIORITY_LOW);
  for (int i = 0; i < 8; ++i) {
    fixture.Create("n" + std::to_string(i));
    fixture.End("n" + std::to_string(i));
  }
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"low"}));
  CHECK(fixture.begun() == Strings{"n0", "n1", "n2", "low"});
  fixture.End("low");
  REQUIRE(fixture.WaitForState("n7", S::STATE_SUCCEEDED));
  CHECK(fixture.Get("low").preemptions() == 0);
}

TEST_CASE("scheduler: what failed is tried again so often, and errors of the spec never",
          "[unit]") {
  Fixture fixture;
  const auto two_retries = [](v1::Experiment* experiment) { experiment->set_retries_max(2); };
  fixture.Create("a", v1::PRIORITY_NORMAL, "ada", two_retries);
  fixture.Create("b", v1::PRIORITY_NORMAL, "ada", two_retries);
  fixture.Create("c", v1::PRIORITY_NORMAL, "ada", two_retries);
  for (int i = 0; i < 3; ++i) fixture.End("a", absl::InternalError("try " + std::to_string(i)));
  fixture.End("b", absl::InvalidArgumentError("no such rule"));
  fixture.End("c", absl::InternalError("once"));
  fixture.End("c");
  fixture.Start();
  REQUIRE(fixture.WaitForState("a", S::STATE_FAILED));
  CHECK(fixture.Get("a").retries() == 2);
  CHECK(fixture.Get("a").error().message() == "try 2");
  REQUIRE(fixture.WaitForState("b", S::STATE_FAILED));
  CHECK(fixture.Get("b").retries() == 0);
  REQUIRE(fixture.WaitForState("c", S::STATE_SUCCEEDED));
  CHECK(fixture.Get("c").retries() == 1);
  CHECK_FALSE(fixture.Get("c").has_error());
}

TEST_CASE("scheduler: storage that is away is waited out, without retries (D3, D9)", "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("a");
  for (int i = 0; i < 3; ++i) fixture.End("a", absl::UnavailableError("the database is away"));
  fixture.Start();
  REQUIRE(fixture.WaitFor([&] { return fixture.begun().size() == 4; }));
  REQUIRE(fixture.WaitForRunning({"a"}));
  CHECK(fixture.Get("a").state() == S::STATE_RUNNING);
  CHECK(fixture.Get("a").retries() == 0);
  CHECK_FALSE(fixture.Get("a").has_error());
  // A request of a user still takes effect meanwhile.
  fixture.End("a", absl::UnavailableError("the database is away"));
  REQUIRE(fixture.WaitFor([&] { return fixture.begun().size() == 5; }));
  fixture.Move("a", S::STATE_RUNNING, S::STATE_CANCELLING);
  REQUIRE(fixture.WaitForState("a", S::STATE_CANCELLED));
}

TEST_CASE("scheduler: storage that is away takes nobody's place, and its progress stays",
          "[unit]") {
  Fixture fixture({.running_max = 1, .low_share = 0, .store_wait = std::chrono::hours(1)});
  fixture.Create("high", v1::PRIORITY_HIGH);
  fixture.Create("low", v1::PRIORITY_LOW);
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"high"}));
  v1::Progress progress;
  progress.set_outer_updates(7);
  REQUIRE(fixture.store()->records.SetProgress("experiments/high", "", progress).ok());
  fixture.End("high", absl::UnavailableError("input/output error"));
  REQUIRE(fixture.WaitFor(
      [&] { return fixture.Get("high").activity().find("waits for storage") == 0; }));
  CHECK(fixture.Get("high").progress().outer_updates() == 7);
  CHECK(fixture.Get("low").state() == S::STATE_QUEUED);
  // A pause ends the wait.
  fixture.Move("high", S::STATE_RUNNING, S::STATE_PAUSING);
  REQUIRE(fixture.WaitForState("high", S::STATE_PAUSED));
  REQUIRE(fixture.WaitForRunning({"low"}));
  // A higher class still runs meanwhile.
  fixture.End("low", absl::UnavailableError("input/output error"));
  REQUIRE(fixture.WaitFor(
      [&] { return fixture.Get("low").activity().find("waits for storage") == 0; }));
  fixture.Create("normal");
  REQUIRE(fixture.WaitForRunning({"normal"}));
  CHECK(fixture.Get("low").state() == S::STATE_QUEUED);
}

TEST_CASE("scheduler: storage that errs while work is asked to stop fails nothing", "[unit]") {
  for (const absl::Status& error :
       {absl::UnavailableError("input/output error"), absl::ResourceExhaustedError("disk full")}) {
    INFO(error);
    Fixture fixture({.running_max = 1, .low_share = 0});
    fixture.ErrWhenStopped(error);
    fixture.Create("a", v1::PRIORITY_LOW);
    fixture.Start();
    REQUIRE(fixture.WaitForRunning({"a"}));
    fixture.Move("a", S::STATE_RUNNING, S::STATE_PAUSING);
    REQUIRE(fixture.WaitForState("a", S::STATE_PAUSED));
    fixture.Move("a", S::STATE_PAUSED, S::STATE_QUEUED);
    REQUIRE(fixture.WaitForRunning({"a"}));
    fixture.Create("b");
    REQUIRE(fixture.WaitForState("a", S::STATE_QUEUED));
    CHECK(fixture.Get("a").preemptions() == 1);
    REQUIRE(fixture.WaitForRunning({"b"}));
    fixture.Stop();
    CHECK(fixture.Get("b").state() == S::STATE_RUNNING);
    CHECK_FALSE(fixture.Get("b").has_error());
  }
}

TEST_CASE("scheduler: who cannot begin anyway takes nobody's place", "[unit]") {
  Fixture fixture({.running_max = 2, .running_per_owner_max = 1, .low_share = 0});
  fixture.Create("high", v1::PRIORITY_HIGH);
  fixture.Create("normal", v1::PRIORITY_NORMAL, "bob");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"high", "normal"}));
  fixture.Create("high2", v1::PRIORITY_HIGH);  // Ada has what one owner may have.
  // Another higher class still takes a place; by then all experiments have been looked at.
  fixture.Create("high3", v1::PRIORITY_HIGH, "cem");
  REQUIRE(fixture.WaitForRunning({"high", "high3"}));
  CHECK(fixture.Get("normal").preemptions() == 1);
  fixture.End("high3");
  REQUIRE(fixture.WaitForRunning({"high", "normal"}));
  REQUIRE(fixture.LookedAgain());
  CHECK(fixture.Get("normal").preemptions() == 1);
  CHECK(fixture.Get("high2").state() == S::STATE_QUEUED);
  fixture.End("high");
  REQUIRE(fixture.WaitForRunning({"high2", "normal"}));
}

TEST_CASE("scheduler: one that waits for its retry takes nobody's place", "[unit]") {
  Fixture fixture({.running_max = 1, .low_share = 0, .retry_wait = std::chrono::hours(1)});
  const auto one_retry = [](v1::Experiment* experiment) { experiment->set_retries_max(1); };
  fixture.Create("high", v1::PRIORITY_HIGH, "ada", one_retry);
  fixture.Create("normal");
  fixture.End("high", absl::InternalError("once"));
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"normal"}));
  REQUIRE(fixture.LookedAgain());
  CHECK(fixture.Get("normal").preemptions() == 0);
  // A new experiment of that name does not wait, and has all of its own retries.
  fixture.Move("high", S::STATE_QUEUED, S::STATE_CANCELLED);
  REQUIRE(fixture.store()->records.Delete("experiments/high", "").ok());
  REQUIRE(fixture.LookedAgain());
  CHECK(fixture.begun() == Strings{"high", "normal"});  // Nothing is left to retry.
  fixture.Create("high", v1::PRIORITY_HIGH, "ada", one_retry);
  REQUIRE(fixture.WaitForRunning({"high"}));
  CHECK(fixture.Get("high").retries() == 0);
  CHECK_FALSE(fixture.Get("high").has_error());
  CHECK(fixture.begun() == Strings{"high", "normal", "high"});
  fixture.End("high", absl::InternalError("again"));
  REQUIRE(fixture.WaitForState("high", S::STATE_QUEUED));
  CHECK(fixture.Get("high").retries() == 1);
}

// Collects the waits that are logged while it lives.
class LoggedWaits {
 public:
  LoggedWaits() {
    log::SetObserver([this](std::string_view, const std::string& line) {
      constexpr std::string_view kKey = "\"wait_ms\":";
      const size_t at = line.find(kKey);
      if (at == line.npos) return;
      const MutexLock lock(mutex_);
      waits_.push_back(std::stoi(line.substr(at + kKey.size())));
    });
  }
  ~LoggedWaits() { log::SetObserver(nullptr); }
  std::vector<int> waits() {
    const MutexLock lock(mutex_);
    return waits_;
  }

 private:
  Mutex mutex_;
  std::vector<int> waits_ ABSL_GUARDED_BY(mutex_);
};

TEST_CASE("scheduler: waits for a retry double six times, and those for storage five times",
          "[unit]") {
  const bool retried = GENERATE(true, false);
  LoggedWaits logged;
  Fixture fixture({.running_max = 1,
                   .retry_wait = std::chrono::milliseconds(1),
                   .store_wait = std::chrono::milliseconds(1)});
  fixture.Create("a", v1::PRIORITY_NORMAL, "ada",
                 [](v1::Experiment* experiment) { experiment->set_retries_max(8); });
  for (int i = 0; i < 8; ++i) {
    fixture.End("a", retried ? absl::InternalError("again") : absl::UnavailableError("away"));
  }
  fixture.Start();
  REQUIRE(fixture.WaitFor([&] { return fixture.begun().size() == 9; }));
  CHECK(logged.waits() == (retried ? std::vector<int>{1, 2, 4, 8, 16, 32, 64, 64}
                                   : std::vector<int>{1, 2, 4, 8, 16, 32, 32, 32}));
  CHECK(fixture.Get("a").retries() == (retried ? 8 : 0));
}

TEST_CASE("scheduler: who could not be resumed after a full disk is looked at again (D8)",
          "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("a");
  REQUIRE(fixture.store()
              ->records
              .Change("experiments/a", "",
                      [](v1::Experiment* experiment) {
                        experiment->set_state(S::STATE_PAUSED);
                        experiment->set_pause_reason(S::PAUSE_REASON_DISK_FULL);
                        return absl::OkStatus();
                      })
              .ok());
  REQUIRE(failpoint::Arm("store.transition.before_commit=1:error(EIO)").ok());
  fixture.Start();
  CHECK(fixture.WaitForRunning({"a"}));
  REQUIRE(failpoint::Arm("").ok());
}

TEST_CASE("scheduler: deadlines end what runs and what waits; expiry deletes", "[unit]") {
  Fixture fixture({.running_max = 1});
  const auto past = [](v1::Experiment* experiment) {
    *experiment->mutable_deadline() = TimeUtil::SecondsToTimestamp(1000);
  };
  fixture.Create("running");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"running"}));
  fixture.Create("queued", v1::PRIORITY_NORMAL, "ada", past);
  REQUIRE(fixture.WaitForState("queued", S::STATE_FAILED));
  const absl::Status error = StatusFromProto(fixture.Get("queued").error());
  CHECK(ReasonOf(error) == "DEADLINE_PASSED");
  REQUIRE(fixture.store()
              ->records
              .Change("experiments/running", "",
                      [&](v1::Experiment* experiment) {
                        past(experiment);
                        return absl::OkStatus();
                      })
              .ok());
  REQUIRE(fixture.WaitForState("running", S::STATE_FAILED));
  CHECK(ReasonOf(StatusFromProto(fixture.Get("running").error())) == "DEADLINE_PASSED");
  CHECK(fixture.Get("running").preemptions() == 0);

  fixture.Create("short", v1::PRIORITY_NORMAL, "ada", [](v1::Experiment* experiment) {
    experiment->mutable_retention()->mutable_ttl()->set_nanos(1);
  });
  fixture.End("short");
  REQUIRE(fixture.WaitFor([&] {
    return absl::IsNotFound(fixture.store()->records.Get("experiments/short").status());
  }));
}

TEST_CASE("scheduler: a full disk pauses, room resumes", "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("a");
  // Behind it in every list; paused by the user for now.
  fixture.Create("b");
  const auto pause_b = [&](S::PauseReason why) {
    const auto paused =
        fixture.store()->records.Change("experiments/b", "", [&](v1::Experiment* experiment) {
          experiment->set_state(S::STATE_PAUSED);
          experiment->set_pause_reason(why);
          return absl::OkStatus();
        });
    REQUIRE(paused.ok());
  };
  pause_b(S::PAUSE_REASON_USER);
  fixture.End("a", MakeError(Reason::kDiskFull, "no room"));
  fixture.Start();
  // There is room, so it resumes by itself.
  REQUIRE(fixture.WaitFor([&] { return fixture.begun() == Strings{"a", "a"}; }));
  CHECK(fixture.Get("a").state() == S::STATE_RUNNING);
  CHECK_FALSE(fixture.disk()->full());
  // An experiment that a user pauses stays paused.
  fixture.Move("a", S::STATE_RUNNING, S::STATE_PAUSING);
  REQUIRE(fixture.WaitForState("a", S::STATE_PAUSED));
  pause_b(S::PAUSE_REASON_DISK_FULL);
  fixture.disk()->Full(fixture.Get("b").uid(), 1);
  REQUIRE(fixture.WaitForRunning({"b"}));
  CHECK_FALSE(fixture.disk()->full());
  CHECK(fixture.Get("a").state() == S::STATE_PAUSED);
}

TEST_CASE("scheduler: a full device is no full disk: tried again as often as allowed, then failed",
          "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("a", v1::PRIORITY_NORMAL, "ada",
                 [](v1::Experiment* experiment) { experiment->set_retries_max(1); });
  const absl::Status full = MakeError(Reason::kDeviceFull, "the GPU is full");
  for (int run = 0; run < 2; ++run) fixture.End("a", full);
  fixture.Start();
  REQUIRE(fixture.WaitForState("a", S::STATE_FAILED));
  CHECK(fixture.begun() == Strings{"a", "a"});
  CHECK(fixture.Get("a").error().message() == "the GPU is full");
  CHECK_FALSE(fixture.disk()->full());
}

TEST_CASE("scheduler: nobody waits for the room of one that has ended or that its user paused",
          "[unit]") {
  Fixture fixture({.running_max = 1});
  constexpr uint64_t kMoreThanThereIs = uint64_t{1} << 60;
  for (const char* id : {"cancelled", "paused", "at-quota", "deleted", "waits"}) {
    fixture.Create(id);
    const std::string uid = fixture.Get(id).uid();
    fixture.disk()->Full(uid, id == std::string_view("waits") ? 1 : kMoreThanThereIs);
  }
  fixture.Start();
  REQUIRE(fixture.LookedAgain());
  CHECK(fixture.begun().empty());  // Not while one of them may need it.
  for (const char* id : {"cancelled", "deleted"})
    fixture.Move(id, S::STATE_QUEUED, S::STATE_CANCELLED);
  REQUIRE(fixture.store()->records.Delete("experiments/deleted", "").ok());
  REQUIRE(fixture.LookedAgain());
  CHECK(fixture.begun().empty());
  for (const auto& [id, why] : {std::pair("paused", S::PAUSE_REASON_USER),
                                std::pair("at-quota", S::PAUSE_REASON_STORAGE_QUOTA)}) {
    const auto paused = fixture.store()->records.Change(std::string("experiments/") + id, "",
                                                        [why = why](v1::Experiment* one) {
                                                          one->set_state(S::STATE_PAUSED);
                                                          one->set_pause_reason(why);
                                                          return absl::OkStatus();
                                                        });
    REQUIRE(paused.ok());
  }
  CHECK(fixture.WaitForRunning({"waits"}));
  CHECK_FALSE(fixture.disk()->full());
}

TEST_CASE("scheduler: owners at their storage quota wait until they have less, others do not",
          "[unit]") {
  Fixture fixture({.running_max = 2,
                   .storage_per_owner_max = 100,
                   .storage_every = std::chrono::milliseconds(0)});
  fixture.Create("a1");
  fixture.Create("b1", v1::PRIORITY_NORMAL, "bob");
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"a1", "b1"}));
  fixture.Create("a2");
  fixture.Create("users");
  REQUIRE(fixture.store()
              ->records
              .Change("experiments/users", "",
                      [](v1::Experiment* experiment) {
                        experiment->set_state(S::STATE_PAUSED);
                        experiment->set_pause_reason(S::PAUSE_REASON_USER);
                        return absl::OkStatus();
                      })
              .ok());
  const auto write = [&](const char* id, uint64_t bytes) {
    CheckpointInfo checkpoint;
    checkpoint.outer_step = 1;
    checkpoint.size_bytes = bytes;
    REQUIRE(
        fixture.store()
            ->results.RecordOuterStep(fixture.Get(id).uid(), {.step = 1, .checkpoint = checkpoint})
            .ok());
  };
  write("b1", 99);
  write("a1", 100);
  for (const char* id : {"a1", "a2"}) {
    REQUIRE(fixture.WaitForState(id, S::STATE_PAUSED));
    const v1::Experiment paused = fixture.Get(id);
    CHECK(paused.pause_reason() == S::PAUSE_REASON_STORAGE_QUOTA);
    const absl::Status why = StatusFromProto(paused.error());
    CHECK(ReasonOf(why) == "QUOTA_EXCEEDED");
    CHECK(why.message().find("'ada' has 100 bytes of checkpoints, 100 are allowed") == 0);
  }
  // Another process keeps to it.
  fixture.Stop();
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"b1"}));
  REQUIRE(fixture.LookedAgain());
  CHECK(fixture.running() == Strings{"b1"});
  CHECK(fixture.Get("b1").preemptions() == 0);
  REQUIRE(fixture.store()->results.ReleaseCheckpoints(fixture.Get("a1").uid(), {1}).ok());
  REQUIRE(fixture.WaitForRunning({"a1", "b1"}));
  REQUIRE(fixture.WaitForState("a2", S::STATE_QUEUED));
  for (const char* id : {"a1", "a2"}) {
    CHECK(fixture.Get(id).pause_reason() == S::PAUSE_REASON_UNSPECIFIED);
    CHECK_FALSE(fixture.Get(id).has_error());
  }
  CHECK(fixture.Get("users").state() == S::STATE_PAUSED);
}

TEST_CASE("scheduler: without a quota for storage nothing waits for one", "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("a");
  // A process with a reserve did this.
  REQUIRE(fixture.store()
              ->records
              .Change("experiments/a", "",
                      [](v1::Experiment* experiment) {
                        experiment->set_state(S::STATE_PAUSED);
                        experiment->set_pause_reason(S::PAUSE_REASON_STORAGE_QUOTA);
                        return absl::OkStatus();
                      })
              .ok());
  fixture.Start();
  CHECK(fixture.WaitForRunning({"a"}));
}

TEST_CASE("scheduler: no room to begin or to end in is a full disk", "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Create("a");
  REQUIRE(failpoint::Arm("store.transition.before_commit=1:error(ENOSPC)").ok());
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"a"}));
  CHECK(fixture.times_full() == 1);  // It waited for room, without retries.
  REQUIRE(failpoint::Arm("store.transition.before_commit=1:error(ENOSPC)").ok());
  fixture.End("a");
  fixture.End("a");
  REQUIRE(fixture.WaitForState("a", S::STATE_SUCCEEDED));
  CHECK(fixture.times_full() == 2);
  REQUIRE(failpoint::Arm("").ok());
}

TEST_CASE("scheduler: a share ends with its place, whoever looks meanwhile", "[unit]") {
  Fixture fixture({.running_max = 1});
  fixture.Start();
  for (int i = 0; i < 5; ++i) {
    const std::string ends = "ends-" + std::to_string(i), next = "next-" + std::to_string(i);
    fixture.Create(ends);
    REQUIRE(fixture.WaitForRunning({ends}));
    const v1::Experiment seen = fixture.Get(ends);
    std::atomic<bool> has_ended = false;
    std::thread looker([&] {
      constexpr int kLooksAfterwards = 2000;
      for (int after = 0; after < kLooksAfterwards; after += has_ended ? 1 : 0) fixture.Look(seen);
    });
    fixture.End(ends);
    const bool succeeded = fixture.WaitForState(ends, S::STATE_SUCCEEDED);
    has_ended = true;
    looker.join();
    REQUIRE(succeeded);
    // Another experiment has the place, so the first has none.
    fixture.Create(next);
    REQUIRE(fixture.WaitForRunning({next}));
    CHECK(fixture.with_share() == std::set<std::string>{"experiments/" + next});
    fixture.End(next);
    REQUIRE(fixture.WaitForState(next, S::STATE_SUCCEEDED));
  }
}

TEST_CASE("scheduler: what a process left at work is gone on with, or ended as was asked",
          "[unit]") {
  Fixture fixture;
  for (const char* id : {"running", "pausing", "cancelling"}) fixture.Create(id);
  fixture.Start();
  REQUIRE(fixture.WaitForRunning({"cancelling", "pausing", "running"}));
  fixture.Stop();
  for (const char* id : {"running", "pausing", "cancelling"})
    CHECK(fixture.Get(id).state() == S::STATE_RUNNING);
  // As if the process had died right after its answer.
  REQUIRE(fixture.store()
              ->records.Transition("experiments/pausing", {S::STATE_RUNNING}, S::STATE_PAUSING)
              .ok());
  REQUIRE(
      fixture.store()
          ->records.Transition("experiments/cancelling", {S::STATE_RUNNING}, S::STATE_CANCELLING)
          .ok());
  fixture.Start();
  REQUIRE(fixture.WaitForState("pausing", S::STATE_PAUSED));
  REQUIRE(fixture.WaitForState("cancelling", S::STATE_CANCELLED));
  REQUIRE(fixture.WaitForRunning({"running"}));
}

}  // namespace mentor::meta_learner::TEST_FILE
