// An ExperimentService in memory, for tests of the command line. It stores what it receives,
// numbers its changes, and fails when a test asks for it. Thread-safe; a server serves it.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>
#include <google/protobuf/util/field_mask_util.h>
#include <google/protobuf/util/time_util.h>

#include "common/hash.h"
#include "common/mutex.h"
#include "common/resources/states.h"
#include "common/rpc/grpc_status.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "google/rpc/error_details.pb.h"
#include "mentor/v1/experiment_service.grpc.pb.h"

namespace mentor::testing {

class FakeService final : public v1::ExperimentService::Service {
 public:
  using S = v1::Experiment;
  using Context = grpc::ServerContext;

  // ---- For tests.

  // The next `count` calls of any method answer this.
  void FailNext(int count, absl::Status status) {
    const MutexLock lock(mutex_);
    failures_.insert(failures_.end(), count, std::move(status));
  }
  static absl::Status Busy(int retry_ms) {
    absl::Status status = absl::ResourceExhaustedError("too many calls");
    google::rpc::RetryInfo info;
    info.mutable_retry_delay()->set_nanos(retry_ms * 1'000'000);
    status.SetPayload("type.googleapis.com/google.rpc.RetryInfo",
                      absl::Cord(info.SerializeAsString()));
    return status;
  }
  void Change(const std::string& name, const std::function<void(v1::Experiment*)>& change) {
    const MutexLock lock(mutex_);
    change(&experiments_.at(name));
    Record(v1::WatchExperimentsResponse::EVENT_UPDATED, &experiments_.at(name));
  }
  void SetState(const std::string& name, S::State state) {
    Change(name, [&](v1::Experiment* experiment) { experiment->set_state(state); });
  }
  v1::Experiment Experiment(const std::string& name) {
    const MutexLock lock(mutex_);
    const auto found = experiments_.find(name);
    return found == experiments_.end() ? v1::Experiment() : found->second;
  }
  size_t size() {
    const MutexLock lock(mutex_);
    return experiments_.size();
  }
  // Tokens so far are too old.
  void Compact() {
    const MutexLock lock(mutex_);
    oldest_ = revision_ + 1;
  }
  // All streams end with UNAVAILABLE, once.
  void BreakStreams() {
    const MutexLock lock(mutex_);
    ++epoch_;
    changed_.NotifyAll();
  }
  void Stop(bool stopped) {
    const MutexLock lock(mutex_);
    stopped_ = stopped;
    changed_.NotifyAll();
  }
  int calls(const std::string& method) {
    const MutexLock lock(mutex_);
    return calls_[method];
  }
  std::vector<std::string> tokens() {
    const MutexLock lock(mutex_);
    return watch_tokens_;
  }
  std::string authorization() {
    const MutexLock lock(mutex_);
    return authorization_;
  }
  void AddLog(const std::string& message, int64_t seconds) {
    const MutexLock lock(mutex_);
    v1::WatchLogsResponse line;
    line.mutable_time()->set_seconds(seconds);
    line.set_severity("info");
    line.set_message(message);
    logs_.push_back(line);
    changed_.NotifyAll();
  }
  // All lines are gone before a follower comes back.
  void RotateLogs() {
    const MutexLock lock(mutex_);
    logs_.clear();
    ++epoch_;
    changed_.NotifyAll();
  }
  void AddPoint(uint32_t step, const std::map<std::string, double>& values) {
    const MutexLock lock(mutex_);
    points_[step].insert(values.begin(), values.end());
    changed_.NotifyAll();
  }
  // Content of a checkpoint or an artifact. The stream ends once after `break_after` bytes.
  void SetFile(const std::string& name, std::string bytes, size_t break_after = 0) {
    const MutexLock lock(mutex_);
    files_[name] = std::move(bytes);
    break_after_ = break_after;
  }
  // Every stream of a file ends after one piece.
  void BreakAfterEachPiece() {
    const MutexLock lock(mutex_);
    breaks_always_ = true;
  }
  void CorruptNextPiece() {
    const MutexLock lock(mutex_);
    corrupt_ = true;
  }
  std::vector<uint64_t> offsets() {
    const MutexLock lock(mutex_);
    return offsets_;
  }
  void SetPeers(std::vector<v1::Peer> peers) {
    const MutexLock lock(mutex_);
    peers_ = std::move(peers);
  }
  void AddCheckpoint(const std::string& experiment, uint32_t step) {
    const MutexLock lock(mutex_);
    v1::Checkpoint checkpoint;
    checkpoint.set_name(absl::StrFormat("%s/checkpoints/%08d", experiment, step));
    checkpoint.set_outer_step(step);
    checkpoint.set_size_bytes(5000);
    checkpoint.set_state_hash("0123456789abcdef0123");
    *checkpoint.mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
    checkpoints_[checkpoint.name()] = checkpoint;
  }

  // ---- The service.

  grpc::Status CreateExperiment(Context* context, const v1::CreateExperimentRequest* request,
                                v1::Experiment* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "CreateExperiment"); !status.ok()) return ToGrpc(status);
    if (!request->validate_only() && request->request_id().empty()) {
      return ToGrpc(absl::InvalidArgumentError("no request_id"));
    }
    if (const auto before = answers_.find(request->request_id());
        !request->request_id().empty() && before != answers_.end()) {
      *response = before->second;
      return grpc::Status::OK;
    }
    Violations violations;
    const v1::ExperimentSpec& spec = request->experiment().spec();
    if (spec.benchmark().name() != "point_reach") {
      violations.Add("experiment.spec.benchmark.name", "is unknown; give point_reach");
    }
    CheckSpec(spec, &violations);
    if (!violations.empty()) return ToGrpc(ToStatus(violations));
    if (request->validate_only()) {
      *response = request->experiment();
      return grpc::Status::OK;
    }
    const std::string id =
        request->experiment_id().empty() ? absl::StrCat("exp-", ++made_) : request->experiment_id();
    const std::string name = "experiments/" + id;
    if (experiments_.contains(name)) {
      return ToGrpc(
          MakeError(Reason::kAlreadyExists, "there is an experiment '" + name + "' already"));
    }
    v1::Experiment experiment = request->experiment();
    experiment.set_name(name);
    experiment.set_uid("uid-" + id);
    experiment.set_state(S::STATE_QUEUED);
    experiment.set_owner("ada");
    *experiment.mutable_create_time() = google::protobuf::util::TimeUtil::GetCurrentTime();
    experiment.mutable_progress()->set_outer_updates_total(
        WithDefaults(spec).rule().outer_updates());
    experiment.mutable_progress()->set_seconds_left(-1);
    experiments_[name] = experiment;
    Record(v1::WatchExperimentsResponse::EVENT_CREATED, &experiments_[name]);
    *response = answers_[request->request_id()] = experiments_[name];
    return Answer();
  }
  // The next creation or deletion does its work, and its answer is lost.
  void LoseNextAnswer() {
    const MutexLock lock(mutex_);
    lose_answer_ = true;
  }

  grpc::Status GetExperiment(Context* context, const v1::GetExperimentRequest* request,
                             v1::Experiment* response) override {
    const MutexLock lock(mutex_);
    return Find(context, "GetExperiment", request->name(), response);
  }

  // Understands the filters that the command line makes of its flags: name=, state=, labels.KEY=
  // and state!=.
  grpc::Status ListExperiments(Context* context, const v1::ListExperimentsRequest* request,
                               v1::ListExperimentsResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListExperiments"); !status.ok()) return ToGrpc(status);
    const int page = request->page_size() == 0 ? 50 : std::min(request->page_size(), 100);
    for (const auto& [name, experiment] : experiments_) {
      if (name <= request->page_token() || !Selects(request->filter(), experiment)) continue;
      if (response->experiments_size() == page) {
        response->set_next_page_token(response->experiments(page - 1).name());
        break;
      }
      *response->add_experiments() = experiment;
    }
    response->set_resume_token(Token());
    return grpc::Status::OK;
  }

  grpc::Status UpdateExperiment(Context* context, const v1::UpdateExperimentRequest* request,
                                v1::Experiment* response) override {
    const MutexLock lock(mutex_);
    const grpc::Status found =
        Find(context, "UpdateExperiment", request->experiment().name(), response);
    if (!found.ok()) return found;
    v1::Experiment& experiment = experiments_[request->experiment().name()];
    if (!request->experiment().etag().empty() &&
        request->experiment().etag() != experiment.etag()) {
      return ToGrpc(MakeError(Reason::kEtagMismatch, "changed"));
    }
    google::protobuf::util::FieldMaskUtil::MergeOptions options;
    options.set_replace_message_fields(true);
    options.set_replace_repeated_fields(true);
    google::protobuf::util::FieldMaskUtil::MergeMessageTo(
        request->experiment(), request->update_mask(), options, &experiment);
    Record(v1::WatchExperimentsResponse::EVENT_UPDATED, &experiment);
    *response = experiment;
    return grpc::Status::OK;
  }

  grpc::Status PauseExperiment(Context* context, const v1::PauseExperimentRequest* request,
                               v1::Experiment* response) override {
    return Move(context, "PauseExperiment", request->name(), S::STATE_PAUSED, response);
  }
  grpc::Status ResumeExperiment(Context* context, const v1::ResumeExperimentRequest* request,
                                v1::Experiment* response) override {
    return Move(context, "ResumeExperiment", request->name(), S::STATE_QUEUED, response);
  }
  grpc::Status CancelExperiment(Context* context, const v1::CancelExperimentRequest* request,
                                v1::Experiment* response) override {
    {
      const MutexLock lock(mutex_);
      reason_ = request->reason();
    }
    return Move(context, "CancelExperiment", request->name(), S::STATE_CANCELLED, response);
  }
  std::string reason() {
    const MutexLock lock(mutex_);
    return reason_;
  }

  grpc::Status DeleteExperiment(Context* context, const v1::DeleteExperimentRequest* request,
                                google::protobuf::Empty*) override {
    const MutexLock lock(mutex_);
    v1::Experiment experiment;
    const grpc::Status found = Find(context, "DeleteExperiment", request->name(), &experiment);
    if (found.error_code() == grpc::StatusCode::NOT_FOUND && request->allow_missing()) {
      return grpc::Status::OK;
    }
    if (!found.ok()) return found;
    if (!IsFinal(experiment.state()) && !request->force()) {
      return ToGrpc(MakeError(Reason::kIllegalTransition, "has not ended"));
    }
    Record(v1::WatchExperimentsResponse::EVENT_DELETED, &experiment);
    experiments_.erase(request->name());
    return Answer();
  }

  grpc::Status CloneExperiment(Context* context, const v1::CloneExperimentRequest* request,
                               v1::Experiment* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "CloneExperiment"); !status.ok()) return ToGrpc(status);
    if (request->request_id().empty()) return ToGrpc(absl::InvalidArgumentError("no request_id"));
    if (!checkpoints_.contains(request->source_checkpoint())) {
      return ToGrpc(MakeError(Reason::kNotFound, "no checkpoint"));
    }
    response->set_name("experiments/" + request->experiment_id());
    response->set_source_checkpoint(request->source_checkpoint());
    response->set_state(S::STATE_QUEUED);
    if (request->spec_overrides_size() > 0) response->set_display_name(request->spec_overrides(0));
    experiments_[response->name()] = *response;
    return grpc::Status::OK;
  }

  grpc::Status WatchExperiments(Context* context, const v1::WatchExperimentsRequest* request,
                                grpc::ServerWriter<v1::WatchExperimentsResponse>* writer) override {
    using Event = v1::WatchExperimentsResponse;
    MutexLock lock(mutex_);
    if (auto status = Begin(context, "WatchExperiments"); !status.ok()) return ToGrpc(status);
    watch_tokens_.push_back(request->resume_token());
    const auto wanted = [&](const std::string& name) {
      return request->names().empty() || std::find(request->names().begin(), request->names().end(),
                                                   name) != request->names().end();
    };
    uint64_t next = revision_ + 1;
    std::vector<Event> first;
    if (!request->resume_token().empty()) {
      next = std::stoull(request->resume_token()) + 1;
      if (next < oldest_) {
        return ToGrpc(MakeError(Reason::kWatchCompacted, "the token is too old: list again"));
      }
    } else {
      for (const auto& [name, experiment] : experiments_) {
        if (!wanted(name)) continue;
        first.emplace_back().set_event(Event::EVENT_CREATED);
        *first.back().mutable_experiment() = experiment;
      }
      first.emplace_back().set_event(Event::EVENT_BOOKMARK);
      first.back().set_resume_token(Token());
    }
    for (const Event& event : first) writer->Write(event);
    const int epoch = epoch_;
    for (;;) {
      for (; next <= revision_; ++next) {
        Event event = log_[next - 1];
        event.set_resume_token(absl::StrCat(next));
        if (wanted(event.experiment().name())) writer->Write(event);
      }
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      if (stopped_ || epoch != epoch_) return ToGrpc(absl::UnavailableError("draining"));
      changed_.WaitFor(lock, std::chrono::milliseconds(20));
    }
  }

  grpc::Status QueryMetrics(Context* context, const v1::QueryMetricsRequest* request,
                            v1::QueryMetricsResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "QueryMetrics"); !status.ok()) return ToGrpc(status);
    std::map<std::string, v1::MetricSeries> series;
    for (const auto& [step, values] : points_) {
      if (step < request->step_min() || (request->step_max() > 0 && step > request->step_max())) {
        continue;
      }
      for (const auto& [metric, value] : values) {
        if (!request->metrics().empty() &&
            std::find(request->metrics().begin(), request->metrics().end(), metric) ==
                request->metrics().end()) {
          continue;
        }
        v1::MetricSeries& one = series[metric];
        one.set_metric(metric);
        one.add_steps(step);
        one.add_mean(value);
        one.add_min(value);
        one.add_max(value);
        one.add_count(1);
      }
    }
    for (auto& [metric, one] : series) *response->add_series() = one;
    return grpc::Status::OK;
  }
  grpc::Status ListMetrics(Context* context, const v1::ListMetricsRequest*,
                           v1::ListMetricsResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListMetrics"); !status.ok()) return ToGrpc(status);
    std::map<std::string, v1::MetricDescriptor> known;
    for (const auto& [step, values] : points_) {
      for (const auto& [metric, value] : values) {
        known[metric].set_name(metric);
        known[metric].set_unit("1");
        known[metric].set_last(value);
        known[metric].set_last_step(step);
      }
    }
    for (auto& [metric, one] : known) *response->add_descriptors() = one;
    return grpc::Status::OK;
  }
  grpc::Status WatchMetrics(Context* context, const v1::WatchMetricsRequest* request,
                            grpc::ServerWriter<v1::WatchMetricsResponse>* writer) override {
    MutexLock lock(mutex_);
    if (auto status = Begin(context, "WatchMetrics"); !status.ok()) return ToGrpc(status);
    uint32_t after = request->after_step();
    const int epoch = epoch_;
    for (;;) {
      for (const auto& [step, values] : points_) {
        if (step <= after) continue;
        after = step;
        v1::WatchMetricsResponse point;
        point.set_step(step);
        for (const auto& [metric, value] : values) (*point.mutable_values())[metric] = value;
        writer->Write(point);
      }
      const auto found = experiments_.find(request->name());
      if (found != experiments_.end() && IsFinal(found->second.state())) return grpc::Status::OK;
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      if (stopped_ || epoch != epoch_) return ToGrpc(absl::UnavailableError("draining"));
      changed_.WaitFor(lock, std::chrono::milliseconds(20));
    }
  }

  grpc::Status ListCheckpoints(Context* context, const v1::ListCheckpointsRequest* request,
                               v1::ListCheckpointsResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListCheckpoints"); !status.ok()) return ToGrpc(status);
    for (const auto& [name, checkpoint] : checkpoints_) {
      if (name.starts_with(request->parent() + "/")) *response->add_checkpoints() = checkpoint;
    }
    return grpc::Status::OK;
  }
  grpc::Status UpdateCheckpoint(Context* context, const v1::UpdateCheckpointRequest* request,
                                v1::Checkpoint* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "UpdateCheckpoint"); !status.ok()) return ToGrpc(status);
    const auto found = checkpoints_.find(request->checkpoint().name());
    if (found == checkpoints_.end()) {
      return ToGrpc(MakeError(Reason::kNotFound, "there is no " + request->checkpoint().name()));
    }
    found->second.set_pinned(request->checkpoint().pinned());
    *response = found->second;
    return grpc::Status::OK;
  }
  grpc::Status DownloadCheckpoint(Context* context, const v1::DownloadRequest* request,
                                  grpc::ServerWriter<v1::DownloadResponse>* writer) override {
    return Send(context, *request, writer);
  }
  grpc::Status DownloadArtifact(Context* context, const v1::DownloadRequest* request,
                                grpc::ServerWriter<v1::DownloadResponse>* writer) override {
    return Send(context, *request, writer);
  }
  grpc::Status ListArtifacts(Context* context, const v1::ListArtifactsRequest* request,
                             v1::ListArtifactsResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListArtifacts"); !status.ok()) return ToGrpc(status);
    for (const auto& [name, bytes] : files_) {
      if (!name.starts_with(request->parent() + "/artifacts/")) continue;
      v1::Artifact& artifact = *response->add_artifacts();
      artifact.set_name(name);
      artifact.set_media_type("text/plain");
      artifact.set_size_bytes(bytes.size());
    }
    return grpc::Status::OK;
  }

  grpc::Status WatchLogs(Context* context, const v1::WatchLogsRequest* request,
                         grpc::ServerWriter<v1::WatchLogsResponse>* writer) override {
    MutexLock lock(mutex_);
    if (auto status = Begin(context, "WatchLogs"); !status.ok()) return ToGrpc(status);
    size_t next =
        request->tail() == 0 || request->tail() > logs_.size() ? 0 : logs_.size() - request->tail();
    const int epoch = epoch_;
    for (;;) {
      for (; next < logs_.size(); ++next) writer->Write(logs_[next]);
      const auto found = experiments_.find(request->name());
      const bool ended = found != experiments_.end() && IsFinal(found->second.state());
      if (!request->follow() || ended) return grpc::Status::OK;
      if (context->IsCancelled()) return grpc::Status::CANCELLED;
      if (stopped_ || epoch != epoch_) return ToGrpc(absl::UnavailableError("draining"));
      changed_.WaitFor(lock, std::chrono::milliseconds(20));
    }
  }

  grpc::Status ListShards(Context* context, const v1::ListShardsRequest*,
                          v1::ListShardsResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListShards"); !status.ok()) return ToGrpc(status);
    v1::ShardInfo& shard = *response->add_shards();
    shard.set_name("experiments/one/shards/0");
    shard.set_state(v1::ShardInfo::STATE_RUNNING);
    shard.set_learner("learners/l1");
    shard.set_lifetimes(30);
    shard.set_iterations_done(1);
    shard.set_iterations_total(3);
    return grpc::Status::OK;
  }
  grpc::Status ListCatalogue(Context* context, const v1::ListCatalogueRequest* request,
                             v1::ListCatalogueResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListCatalogue"); !status.ok()) return ToGrpc(status);
    for (const char* kind : {"environment", "rule"}) {
      if (!request->kind().empty() && request->kind() != kind) continue;
      v1::CatalogueEntry& entry = *response->add_entries();
      entry.set_kind(kind);
      entry.set_name(std::string("a_") + kind);
      entry.set_help("What it is.");
      auto& setting = *entry.add_settings();
      setting.set_name("rate");
      setting.set_default_value("3e-4");
      setting.set_help("How fast.");
    }
    return grpc::Status::OK;
  }
  grpc::Status ListTasks(Context* context, const v1::ListTasksRequest* request,
                         v1::ListTasksResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListTasks"); !status.ok()) return ToGrpc(status);
    const int begin = request->page_token().empty() ? 0 : std::stoi(request->page_token());
    const int end = std::min(begin + std::min(request->page_size(), 3), 5);
    for (int i = begin; i < end; ++i) {
      v1::TaskInfo& task = *response->add_tasks();
      task.set_name(absl::StrCat("benchmarks/", request->benchmark().name(), "/tasks/", i));
      task.set_environment(request->benchmark().environment());
      task.set_split(i < 3 ? "train" : "test");
      task.add_parameters(0.5 * i);
    }
    if (end < 5) response->set_next_page_token(absl::StrCat(end));
    response->set_total_size(5);
    return grpc::Status::OK;
  }
  grpc::Status ListPeers(Context* context, const v1::ListPeersRequest*,
                         v1::ListPeersResponse* response) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "ListPeers"); !status.ok()) return ToGrpc(status);
    for (const v1::Peer& peer : peers_) *response->add_peers() = peer;
    return grpc::Status::OK;
  }
  grpc::Status DrainPeer(Context* context, const v1::DrainPeerRequest* request,
                         google::protobuf::Empty*) override {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "DrainPeer"); !status.ok()) return ToGrpc(status);
    for (v1::Peer& peer : peers_) {
      if (peer.name() != request->name()) continue;
      peer.set_draining(true);
      return grpc::Status::OK;
    }
    return ToGrpc(MakeError(Reason::kNotFound, "there is no peer " + request->name()));
  }

 private:
  static grpc::Status ToGrpc(const absl::Status& status) { return rpc::ToGrpc(status); }

  static bool Selects(const std::string& filter, const v1::Experiment& experiment) {
    const std::string state = S::State_Name(experiment.state()).substr(6);
    for (const absl::string_view term : absl::StrSplit(filter, " AND ", absl::SkipWhitespace())) {
      const std::string text(term);
      const auto is = [&](const std::string& begin, const std::string& value) {
        return text.starts_with(begin) && text.substr(begin.size()) != value &&
               text.substr(begin.size()) != "\"" + value + "\"";
      };
      if (text.starts_with("state!=") && text.substr(7) == state) return false;
      if (is("state=", state) || is("name=", experiment.name())) return false;
      if (text.starts_with("labels.")) {
        const size_t equals = text.find('=');
        const auto label = experiment.labels().find(text.substr(7, equals - 7));
        if (label == experiment.labels().end() ||
            text.substr(equals + 1) != "\"" + label->second + "\"") {
          return false;
        }
      }
    }
    return true;
  }

  absl::Status Begin(Context* context, const std::string& method)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    ++calls_[method];
    const auto header = context->client_metadata().find("authorization");
    authorization_ = header == context->client_metadata().end()
                         ? ""
                         : std::string(header->second.data(), header->second.size());
    if (stopped_) return absl::UnavailableError("draining");
    if (failures_.empty()) return absl::OkStatus();
    const absl::Status status = failures_.front();
    failures_.pop_front();
    return status;
  }
  grpc::Status Answer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return std::exchange(lose_answer_, false) ? ToGrpc(absl::UnavailableError("connection reset"))
                                              : grpc::Status::OK;
  }
  grpc::Status Find(Context* context, const char* method, const std::string& name,
                    v1::Experiment* response) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (auto status = Begin(context, method); !status.ok()) return ToGrpc(status);
    const auto found = experiments_.find(name);
    if (found == experiments_.end()) {
      return ToGrpc(MakeError(Reason::kNotFound, "there is no experiment '" + name + "'"));
    }
    *response = found->second;
    return grpc::Status::OK;
  }
  grpc::Status Move(Context* context, const char* method, const std::string& name, S::State state,
                    v1::Experiment* response) {
    const MutexLock lock(mutex_);
    const grpc::Status found = Find(context, method, name, response);
    if (!found.ok()) return found;
    if (IsFinal(response->state()) && response->state() != state) {
      return ToGrpc(MakeError(Reason::kIllegalTransition, name + " has ended"));
    }
    experiments_[name].set_state(state);
    Record(v1::WatchExperimentsResponse::EVENT_UPDATED, &experiments_[name]);
    *response = experiments_[name];
    return grpc::Status::OK;
  }
  std::string Token() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return absl::StrCat(revision_);
  }
  void Record(v1::WatchExperimentsResponse::Event kind, v1::Experiment* experiment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    experiment->set_etag(absl::StrCat("W/", ++revision_));
    log_.emplace_back().set_event(kind);
    *log_.back().mutable_experiment() = *experiment;
    changed_.NotifyAll();
  }
  grpc::Status Send(Context* context, const v1::DownloadRequest& request,
                    grpc::ServerWriter<v1::DownloadResponse>* writer) {
    const MutexLock lock(mutex_);
    if (auto status = Begin(context, "Download"); !status.ok()) return ToGrpc(status);
    offsets_.push_back(request.offset());
    const auto found = files_.find(request.name());
    if (found == files_.end()) {
      return ToGrpc(MakeError(Reason::kNotFound, "there is no " + request.name()));
    }
    const std::string& bytes = found->second;
    if (request.offset() > bytes.size()) {
      Violations violations;
      violations.Add("offset", "is behind the end; begin again at 0");
      return ToGrpc(ToStatus(violations));
    }
    constexpr size_t kPiece = 1000;
    for (size_t at = request.offset(); at < bytes.size(); at += kPiece) {
      if (break_after_ > 0 && at >= break_after_) {
        break_after_ = 0;
        return ToGrpc(absl::UnavailableError("connection reset"));
      }
      v1::DownloadResponse piece;
      piece.set_offset(at);
      piece.set_data(bytes.substr(at, kPiece));
      piece.set_crc32c(Crc32c(piece.data()) ^ (corrupt_ ? 1 : 0));
      corrupt_ = false;
      piece.set_size_bytes(bytes.size());
      writer->Write(piece);
      if (breaks_always_ && at + kPiece < bytes.size())
        return ToGrpc(absl::UnavailableError("connection reset"));
    }
    v1::DownloadResponse last;
    last.set_size_bytes(bytes.size());
    last.set_sha256(Sha256Hex(bytes));
    writer->Write(last);
    return grpc::Status::OK;
  }

  // Guarded by mutex_, all of it.
  Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  int epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<absl::Status> failures_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int> calls_ ABSL_GUARDED_BY(mutex_);
  std::string authorization_ ABSL_GUARDED_BY(mutex_);
  std::string reason_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::Experiment> experiments_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::Experiment> answers_ ABSL_GUARDED_BY(mutex_);
  bool lose_answer_ ABSL_GUARDED_BY(mutex_) = false;
  int made_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t oldest_ ABSL_GUARDED_BY(mutex_) = 1;
  std::vector<v1::WatchExperimentsResponse> log_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> watch_tokens_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::WatchLogsResponse> logs_ ABSL_GUARDED_BY(mutex_);
  std::map<uint32_t, std::map<std::string, double>> points_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, v1::Checkpoint> checkpoints_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> files_ ABSL_GUARDED_BY(mutex_);
  size_t break_after_ ABSL_GUARDED_BY(mutex_) = 0;
  bool breaks_always_ ABSL_GUARDED_BY(mutex_) = false;
  bool corrupt_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<uint64_t> offsets_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::Peer> peers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace mentor::testing
