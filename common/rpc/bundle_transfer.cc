#include "common/rpc/bundle_transfer.h"

#include <algorithm>

#include <absl/strings/str_format.h>

#include "common/check.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/resources/names.h"
#include "common/rpc/grpc_status.h"
#include "common/status.h"

namespace mentor::rpc {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kServerThreads = 4;
constexpr size_t kCallsWaitingMax = 10'000;
constexpr std::chrono::seconds kRetryLater{1};
// Kept this long after the last piece, so that a bundle is verified once and not for each piece.
constexpr std::chrono::seconds kHeldFor{60};
// Kept at least this long after the last piece, even if others need the room.
constexpr std::chrono::seconds kHeldAtLeast{5};

absl::Status NotABundle(const std::string& name) {
  return BadField("name", absl::StrFormat("is '%s'; give bundles/{digest}", name.substr(0, 100)));
}

absl::Status Draining() {
  return WithRetryDelay(MakeError(Reason::kDraining, "this process is stopping"), kRetryLater);
}

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         (absl::IsResourceExhausted(status) && RetryDelayOf(status));
}

}  // namespace

absl::StatusOr<v1::FetchBundleResponse> ReadBundlePiece(const HeldBundle& bundle, uint64_t offset) {
  const uint64_t total = bundle.manifest().bytes();
  if (offset > total) {
    return absl::OutOfRangeError(absl::StrFormat(
        "offset is %d, but the bundle has %d bytes; begin again at 0", offset, total));
  }
  v1::FetchBundleResponse response;
  if (offset == 0) FilesToProto(bundle.manifest(), response.mutable_files());
  MENTOR_ASSIGN_OR_RETURN(*response.mutable_data(), FolderSource(bundle.folder(), bundle.manifest(),
                                                                 kBundlePieceBytes)(offset));
  response.set_offset(offset);
  response.set_crc32c(Crc32c(response.data()));
  return response;
}

absl::StatusOr<v1::FetchBundleResponse> BundlePieces::Read(const std::string& digest,
                                                           uint64_t offset) {
  MENTOR_ASSIGN_OR_RETURN(auto bundle, Hold(digest));
  auto piece = ReadBundlePiece(*bundle, offset);
  if (!absl::IsNotFound(piece.status()) && !absl::IsDataLoss(piece.status())) return piece;
  // The folder was emptied, so the held bundle is invalid.
  bundle = nullptr;
  {
    const MutexLock lock(mutex_);
    held_.erase(digest);
  }
  MENTOR_ASSIGN_OR_RETURN(bundle, Hold(digest));
  return ReadBundlePiece(*bundle, offset);
}

absl::StatusOr<std::shared_ptr<const HeldBundle>> BundlePieces::Hold(const std::string& digest) {
  {
    const MutexLock lock(mutex_);
    const auto now = Clock::now();
    std::erase_if(held_, [&](const auto& entry) { return entry.second.until < now; });
    if (const auto known = held_.find(digest); known != held_.end()) {
      known->second.until = now + kHeldFor;
      return known->second.bundle;
    }
  }
  auto found = find_(digest);
  if (absl::IsResourceExhausted(found.status()) && LetGo()) found = find_(digest);
  MENTOR_RETURN_IF_ERROR(found.status());
  const MutexLock lock(mutex_);
  held_[digest] = {.bundle = *found, .until = Clock::now() + kHeldFor};
  if (held_.size() > held_max_) {
    held_.erase(std::min_element(held_.begin(), held_.end(), [](const auto& a, const auto& b) {
      return a.second.bundle->manifest().disk_bytes() < b.second.bundle->manifest().disk_bytes();
    }));
  }
  return found;
}

// Releases bundles without recent requests. Returns false if there are none.
bool BundlePieces::LetGo() {
  const MutexLock lock(mutex_);
  const auto late = Clock::now() + kHeldFor - kHeldAtLeast;
  return std::erase_if(held_, [&](const auto& entry) { return entry.second.until < late; }) > 0;
}

// ---- Server.

BundleServer::BundleServer()
    : pieces_([](const std::string& digest) { return FindBundle(BundleName(digest)); }),
      executor_(kServerThreads, kCallsWaitingMax, /*per_caller_max=*/1) {}

grpc::ServerUnaryReactor* BundleServer::Fetch(grpc::CallbackServerContext* context,
                                              const v1::FetchBundleRequest* request,
                                              v1::FetchBundleResponse* response) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const auto answer = [=, this] {
    if (context->IsCancelled()) return reactor->Finish(grpc::Status::CANCELLED);
    auto piece = stopping_ ? Draining() : Answer(*request);
    if (piece.ok()) *response = *std::move(piece);
    reactor->Finish(ToGrpc(piece.status()));
  };
  // Finding a bundle may take minutes and occupies one thread, so other calls for that bundle wait
  // meanwhile.
  if (executor_.Post(answer, BundleDigestOf(request->name()).value_or(request->name())))
    return reactor;
  reactor->Finish(
      ToGrpc(stopping_ ? Draining()
                       : WithRetryDelay(MakeError(Reason::kQueueFull,
                                                  "too many callers wait for bundles; try again"),
                                        kRetryLater)));
  return reactor;
}

absl::StatusOr<v1::FetchBundleResponse> BundleServer::Answer(
    const v1::FetchBundleRequest& request) {
  const auto digest = BundleDigestOf(request.name());
  if (!digest) return NotABundle(request.name());
  MENTOR_RETURN_IF_ERROR(failpoint::Error(MENTOR_FAILPOINT("bundle.fetch.answer")));
  return pieces_.Read(*digest, request.offset());
}

void BundleServer::Stop() {
  stopping_ = true;
  executor_.Stop();
}

// ---- Client.

absl::Status BundleFetcher::CallOnce(const v1::FetchBundleRequest& request,
                                     v1::FetchBundleResponse* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + patience_.call);
  {
    const MutexLock lock(mutex_);
    if (stopping_) return absl::CancelledError("this process is stopping");
    running_.insert(&context);
  }
  const absl::Status status = FromGrpc(call_(&context, request, response));
  const MutexLock lock(mutex_);
  running_.erase(&context);
  if (stopping_) return absl::CancelledError("this process is stopping");
  return status;
}

bool BundleFetcher::WaitFor(std::chrono::milliseconds span) {
  MutexLock lock(mutex_);
  return !changed_.WaitFor(lock, span,
                           [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
}

absl::StatusOr<v1::FetchBundleResponse> BundleFetcher::Piece(const std::string& digest,
                                                             uint64_t offset) {
  v1::FetchBundleRequest request;
  request.set_name(BundleResource(digest));
  request.set_offset(offset);
  const auto since = Clock::now();
  Jitter jitter;
  for (int attempt = 0;; ++attempt) {
    v1::FetchBundleResponse response;
    absl::Status status = CallOnce(request, &response);
    if (status.ok()) {
      if (response.offset() != offset || response.data().size() > kBundlePieceBytes ||
          Crc32c(response.data()) != response.crc32c()) {
        // Damaged on the way, or by the peer's disk: worth a retry.
        status = absl::UnavailableError("a piece of the bundle is not the requested one");
      } else {
        return response;
      }
    }
    if (!MayPass(status) || Clock::now() - since > patience_.total) {
      return WithPrefix(absl::StrFormat("cannot fetch %s: ", BundleName(digest)), status);
    }
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "a bundle is not available yet",
                     {{"bundle", BundleName(digest)}, {"why", status}});
    const auto delay = std::max(patience_.backoff.Delay(attempt, jitter.Next()),
                                RetryDelayOf(status).value_or(std::chrono::milliseconds(0)));
    if (!WaitFor(delay)) return absl::CancelledError("this process is stopping");
  }
}

absl::StatusOr<BundleCache::Fetched> BundleFetcher::Fetch(const std::string& digest) {
  MENTOR_ASSIGN_OR_RETURN(v1::FetchBundleResponse first, Piece(digest, 0));
  BundleCache::Fetched fetched{.manifest = ManifestFromProto(digest, first.files()), .source = {}};
  if (const Violations wrong = CheckManifest(fetched.manifest); !wrong.empty()) {
    return MakeError(
        Reason::kDataLoss,
        absl::StrFormat("the peer sent something else as %s: %s: %s; look at the peer",
                        BundleName(digest), wrong.list()[0].field, wrong.list()[0].description));
  }
  MENTOR_LOG(kInfo, "fetching a bundle",
             {{"bundle", BundleName(digest)}, {"bytes", fetched.manifest.bytes()}});
  const auto data = std::make_shared<const std::string>(std::move(*first.mutable_data()));
  fetched.source = [this, digest, data](uint64_t offset) -> absl::StatusOr<std::string> {
    if (offset == 0) return *data;
    MENTOR_ASSIGN_OR_RETURN(v1::FetchBundleResponse piece, Piece(digest, offset));
    return std::move(*piece.mutable_data());
  };
  return fetched;
}

void BundleFetcher::Stop() {
  const MutexLock lock(mutex_);
  stopping_ = true;
  for (grpc::ClientContext* context : running_) context->TryCancel();
  changed_.NotifyAll();
}

void UseBundleCache(const BundleCache::Options& options, BundleFetcher* fetcher, Metrics* metrics,
                    std::chrono::seconds wait_for_room) {
  struct Lazy {
    Mutex mutex;
    std::unique_ptr<BundleCache> cache ABSL_GUARDED_BY(mutex);
  };
  const auto lazy = std::make_shared<Lazy>();
  const auto ended = [metrics](absl::StatusCode code) -> prometheus::Counter& {
    return metrics->Counter("mentor_bundle_fetches_total", "Bundles that were fetched, or not.",
                            {{"code", absl::StatusCodeToString(code)}});
  };
  ended(absl::StatusCode::kOk);  // Makes the counter visible from the start.
  prometheus::Counter& bytes = metrics->Counter("mentor_bundle_fetched_bytes_total",
                                                "Bytes of the bundles that were fetched.");
  SetBundleFinder(
      [=, &bytes](const std::string& digest) -> absl::StatusOr<std::shared_ptr<const HeldBundle>> {
        BundleCache* cache = nullptr;
        {
          const MutexLock lock(lazy->mutex);
          if (lazy->cache == nullptr) {
            MENTOR_ASSIGN_OR_RETURN(lazy->cache, BundleCache::Open(options));
          }
          cache = lazy->cache.get();
        }
        bool was_fetched = false;
        const auto find = [&] {
          return cache->FindOrFetch(digest, [&](const std::string& name) {
            was_fetched = true;
            return fetcher->Fetch(name);
          });
        };
        auto found = find();
        const auto deadline = Clock::now() + wait_for_room;
        while (absl::IsResourceExhausted(found.status()) && Clock::now() < deadline) {
          const auto delay = RetryDelayOf(found.status());
          if (!delay || !fetcher->WaitFor(*delay)) break;
          found = find();
        }
        if (was_fetched) ended(found.status().code()).Increment();
        if (was_fetched && found.ok())
          bytes.Increment(static_cast<double>((*found)->manifest().bytes()));
        return found;
      });
}

}  // namespace mentor::rpc
