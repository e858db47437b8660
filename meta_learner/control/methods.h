// The answers of the control API, one function for each method: they check the request, use the
// store, and make the response. calls.h runs them; creation.h has the methods that make
// experiments, logs.h has WatchLogs. Lists come in pages (store/paging.h). Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <google/protobuf/empty.pb.h>

#include "common/metrics.h"
#include "common/rpc/auth.h"
#include "mentor/v1/experiment_service.pb.h"
#include "meta_learner/control/service_options.h"
#include "meta_learner/control/streams.h"
#include "meta_learner/store/store.h"

namespace mentor::meta_learner {

// ---- Lists (lists.cc). Experiments come with a token to start a watch from; filter.h defines the
// language of filters. Shards, actors and learners come from the fleet's bookkeeping (fleet/).

absl::StatusOr<v1::ListExperimentsResponse> ListExperiments(
    Records* records, const v1::ListExperimentsRequest& request);
absl::StatusOr<v1::ListShardsResponse> ListShards(const ServiceOptions& options,
                                                  const v1::ListShardsRequest& request);
absl::StatusOr<v1::ListPeersResponse> ListPeers(const ServiceOptions& options,
                                                const v1::ListPeersRequest& request);
absl::StatusOr<google::protobuf::Empty> DrainPeer(const ServiceOptions& options,
                                                  const v1::DrainPeerRequest& request);

// ---- Changes by users (changes.cc): settings, pause, resume, cancel, delete. store/state.h
// defines the transitions between states. The scheduler is notified and carries out the change.
// Only the owner and admins may change an experiment; other callers get NOT_OWNER. Each change is
// one transaction of the store.

// True if the experiment must be deleted as soon as it ends: the mark of a deletion by force.
// Clones must not inherit this mark.
bool IsDeletedAtEnd(const v1::Experiment& experiment);

absl::StatusOr<v1::Experiment> UpdateExperiment(const ServiceOptions& options,
                                                const v1::UpdateExperimentRequest& request,
                                                const rpc::Caller& caller);
absl::StatusOr<v1::Experiment> PauseExperiment(const ServiceOptions& options,
                                               const v1::PauseExperimentRequest& request,
                                               const rpc::Caller& caller);
absl::StatusOr<v1::Experiment> ResumeExperiment(const ServiceOptions& options,
                                                const v1::ResumeExperimentRequest& request,
                                                const rpc::Caller& caller);
absl::StatusOr<v1::Experiment> CancelExperiment(const ServiceOptions& options,
                                                const v1::CancelExperimentRequest& request,
                                                const rpc::Caller& caller);
// Returns OK when the experiment is gone, and UNAVAILABLE without a reason while it is still
// ending.
absl::Status DeleteExperiment(const ServiceOptions& options,
                              const v1::DeleteExperimentRequest& request,
                              const rpc::Caller& caller);

// ---- Watches (watch.cc): the messages of streams.

// Returns a token that resumes a watch of these names after this revision. ListExperiments uses it
// too.
std::string MakeResumeToken(const Records& records, int64_t revision,
                            const std::vector<std::string>& names = {});

// Returns INVALID_ARGUMENT for a bad name or token.
absl::StatusOr<PullStream<v1::WatchExperimentsResponse>::Produce> WatchExperiments(
    Records* records, const v1::WatchExperimentsRequest& request,
    prometheus::Histogram* lag_events);

// Streams one message for each outer update, in order, until the experiment ends.
absl::StatusOr<PullStream<v1::WatchMetricsResponse>::Produce> WatchMetrics(
    Records* records, Results* results, const v1::WatchMetricsRequest& request);

// ---- Metrics of an experiment (metrics_query.cc): recorded values, thinned out, and descriptions.
// Metrics of this process have common/metrics.h.

// Returns NOT_FOUND, with the nearest known name, for a name that the experiment has not recorded
// and its parts do not declare.
absl::Status CheckMetricNames(Results* results, const v1::Experiment& experiment,
                              const google::protobuf::RepeatedPtrField<std::string>& names);
// Returns at most max_points for each series: neighbours are merged into mean, least, greatest and
// count. Values that are not finite are left out.
absl::StatusOr<v1::QueryMetricsResponse> QueryMetrics(Records* records, Results* results,
                                                      const v1::QueryMetricsRequest& request);
// Lists metrics in natural order. Undeclared metrics, such as those of other builds, have numbers
// but no descriptions.
absl::StatusOr<v1::ListMetricsResponse> ListMetrics(Records* records, Results* results,
                                                    const v1::ListMetricsRequest& request);

// ---- Checkpoints (checkpoints.cc): lists, lookups, pins and downloads. store/checkpoint.h defines
// their contents.

// Returns the checkpoint of this name and its experiment. `field` is the request's field that holds
// the name, for errors.
absl::StatusOr<std::pair<v1::Experiment, CheckpointRow>> FindCheckpoint(Records* records,
                                                                        Results* results,
                                                                        const std::string& name,
                                                                        const char* field);

absl::StatusOr<v1::ListCheckpointsResponse> ListCheckpoints(
    Records* records, Results* results, const v1::ListCheckpointsRequest& request);
absl::StatusOr<v1::Checkpoint> GetCheckpoint(Records* records, Results* results,
                                             const v1::GetCheckpointRequest& request);
absl::StatusOr<v1::Checkpoint> UpdateCheckpoint(Records* records, Results* results,
                                                const v1::UpdateCheckpointRequest& request,
                                                const rpc::Caller& caller);
// `cancel` interrupts the fetch from the bucket.
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadCheckpoint(
    Store* store, const v1::DownloadRequest& request, const std::atomic<bool>* cancel);

// ---- Files of experiments (files.cc): lists, and downloads that can be resumed.

// Lists by name all files in the experiment's folder or bucket, except checkpoints and unfinished
// files. In both functions `cancel` interrupts a wait for the bucket.
absl::StatusOr<v1::ListArtifactsResponse> ListArtifacts(Records* records, RunFiles* files,
                                                        const v1::ListArtifactsRequest& request,
                                                        const std::atomic<bool>* cancel);
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> DownloadArtifact(
    Records* records, RunFiles* files, const v1::DownloadRequest& request,
    const std::atomic<bool>* cancel);

// Streams pieces of at most 1 MiB from `offset` on, then the hash of the whole file. Returns a
// violation of "offset" when the file is shorter. With the row of a checkpoint, the stream of
// another file ends with DATA_LOSS.
absl::StatusOr<PullStream<v1::DownloadResponse>::Produce> Download(
    const std::filesystem::path& file, uint64_t offset, const CheckpointInfo* row = nullptr);

// ---- Specs as their users write them (parse_spec.cc). Files of this machine are read for ready
// specs alone: whatever path a request names, it is looked up in the request.

absl::StatusOr<v1::ParseSpecResponse> ParseSpec(const v1::ParseSpecRequest& request);

// ---- Parts that a spec can name, and the tasks of benchmarks (catalogue.cc).

absl::StatusOr<v1::ListCatalogueResponse> ListCatalogue(const v1::ListCatalogueRequest& request);
// Makes only the tasks of the requested page; the others are only counted.
absl::StatusOr<v1::ListTasksResponse> ListTasks(const v1::ListTasksRequest& request);

}  // namespace mentor::meta_learner
