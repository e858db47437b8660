#include "meta_learner/control/bundle_service.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/bundle.h"
#include "common/check.h"
#include "common/hash.h"
#include "common/resources/names.h"
#include "common/rpc/bundle_transfer.h"
#include "common/spec/named_bundles.h"
#include "common/status.h"
#include "mentor/v1/bundle_service.grpc.pb.h"
#include "meta_learner/control/calls.h"
#include "meta_learner/control/request_checks.h"
#include "meta_learner/store/paging.h"

namespace mentor::meta_learner {
namespace {

using google::protobuf::Empty;

constexpr size_t kNamesShown = 3;

absl::StatusOr<std::string> DigestOf(const std::string& name) {
  if (auto digest = BundleDigestOf(name)) return *std::move(digest);
  return BadName("name", name, "bundles/{digest}, 64 digits of lower case");
}

absl::StatusOr<v1::PushBundleResponse> AddPiece(BundleShelf* shelf, const std::string& digest,
                                                const std::string& owner,
                                                const v1::PushBundleRequest& request,
                                                const Calls::Cancel* cancel) {
  Violations violations;
  if (request.data().size() > rpc::kBundlePieceBytes) {
    violations.Add("data", absl::StrFormat("has %d bytes; give at most %d", request.data().size(),
                                           rpc::kBundlePieceBytes));
  } else if (request.data().empty()) {
    violations.Add("data", "is missing; give a piece of the bundle, or its files to begin");
  } else if (request.has_crc32c() && Crc32c(request.data()) != request.crc32c()) {
    violations.Add(
        "crc32c",
        "is not the CRC32C of the data, which may be damaged on the way; send the piece again");
  }
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  return shelf->Add(digest, owner, request.offset(), request.data(), cancel);
}

absl::StatusOr<v1::PushBundleResponse> Push(BundleShelf* shelf, const rpc::Caller& caller,
                                            const v1::PushBundleRequest& request,
                                            const Calls::Cancel* cancel) {
  MENTOR_ASSIGN_OR_RETURN(const std::string digest, DigestOf(request.name()));
  if (request.files().empty()) return AddPiece(shelf, digest, caller.name, request, cancel);
  if (!request.data().empty())
    return BadField("data", "comes without files; send the files first, then pieces");
  const BundleManifest manifest = ManifestFromProto(digest, request.files());
  MENTOR_RETURN_IF_ERROR(ShortStatus(CheckManifest(manifest)));
  return shelf->Begin(manifest, caller.name, cancel);
}

// Audits the begin, the end and the errors of a push, but not each piece.
absl::StatusOr<v1::PushBundleResponse> AuditedPush(const ServiceOptions& options,
                                                   BundleShelf* shelf, const rpc::Caller& caller,
                                                   const v1::PushBundleRequest& request,
                                                   const Calls::Cancel* cancel) {
  const absl::Status room = options.operations->CheckRoom();
  auto answer = room.ok() ? Push(shelf, caller, request, cancel)
                          : absl::StatusOr<v1::PushBundleResponse>(room);
  if (!answer.ok() || answer->complete() || !request.files().empty())
    Audit(caller, "PushBundle", request.name(), answer.status());
  return answer;
}

absl::StatusOr<v1::ListBundlesResponse> List(BundleShelf* shelf,
                                             const v1::ListBundlesRequest& request) {
  Violations violations;
  PageRoom room(PageSize(request.page_size(), &violations));
  MENTOR_RETURN_IF_ERROR(ToStatus(violations));
  const std::string query = "bundles";
  MENTOR_ASSIGN_OR_RETURN(const std::string after, ReadPageToken(request.page_token(), query));
  MENTOR_ASSIGN_OR_RETURN(std::vector<v1::Bundle> bundles, shelf->List());
  v1::ListBundlesResponse response;
  response.set_total_size(static_cast<int32_t>(bundles.size()));
  std::string last;
  for (v1::Bundle& bundle : bundles) {
    if (bundle.name() <= after) continue;
    if (!room.Take(bundle.ByteSizeLong())) {
      response.set_next_page_token(MakePageToken(query, last));
      break;
    }
    last = bundle.name();
    *response.add_bundles() = std::move(bundle);
  }
  return response;
}

absl::StatusOr<v1::FetchBundleResponse> Fetch(rpc::BundlePieces* pieces,
                                              const v1::FetchBundleRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(const std::string digest, DigestOf(request.name()));
  return pieces->Read(digest, request.offset());
}

// Returns FAILED_PRECONDITION BUNDLE_IN_USE if an experiment names the bundle. `title` names the
// bundle for people.
absl::Status CheckUnnamed(Records* records, const std::string& digest, const std::string& title) {
  std::vector<std::string> names;
  Records::Snapshot piece;
  do {
    MENTOR_ASSIGN_OR_RETURN(piece, records->ReadSnapshot({}, piece.last));
    for (const v1::Experiment& experiment : piece.experiments) {
      if (BundlesOf(experiment.spec()).contains(digest)) names.push_back(experiment.name());
    }
  } while (!piece.last.empty());
  if (names.empty()) return absl::OkStatus();
  std::string shown;
  for (size_t i = 0; i < std::min(names.size(), kNamesShown); ++i)
    absl::StrAppend(&shown, i > 0 ? ", " : "", names[i]);
  if (names.size() > kNamesShown)
    absl::StrAppend(&shown, " and ", names.size() - kNamesShown, " more");
  return MakeError(Reason::kBundleInUse,
                   absl::StrFormat("%s is named by %s; delete these first", title, shown),
                   {{"experiment", names.front()}});
}

absl::Status Delete(const ServiceOptions& options, BundleShelf* shelf, const rpc::Caller& caller,
                    const v1::DeleteBundleRequest& request) {
  MENTOR_ASSIGN_OR_RETURN(const std::string digest, DigestOf(request.name()));
  // The turn keeps others from creating an experiment that names the bundle meanwhile.
  const BundleShelf::Turn turn(shelf, {digest});
  const auto bundle = shelf->Get(turn);
  // A bundle with an unreadable list has no owner, so every caller may delete it.
  if (!absl::IsDataLoss(bundle.status()) && !absl::IsNotFound(bundle.status())) {
    MENTOR_RETURN_IF_ERROR(bundle.status());
    if (!caller.MayChange(bundle->owner()))
      return NotOwner(caller, request.name(), bundle->owner());
  }
  if (!absl::IsNotFound(bundle.status())) {
    const std::string title =
        bundle.ok() ? BundleTitle(ManifestFromProto(digest, bundle->files())) : BundleName(digest);
    MENTOR_RETURN_IF_ERROR(CheckUnnamed(&options.store->records, digest, title));
  }
  // Pushes that the caller may not change continue.
  MENTOR_ASSIGN_OR_RETURN(const std::vector<std::string> pushers, shelf->Pushers(turn));
  bool ended = false;
  for (const std::string& owner : pushers) {
    if (!caller.MayChange(owner)) continue;
    shelf->EndPush(turn, owner);
    ended = true;
  }
  if (!absl::IsNotFound(bundle.status())) return shelf->Delete(turn);
  if (ended) return absl::OkStatus();
  if (!pushers.empty()) return NotOwner(caller, request.name(), pushers.front());
  return request.allow_missing() ? absl::OkStatus() : bundle.status();
}

}  // namespace

class BundleService::Impl : public v1::BundleService::Service {
 public:
  Impl(ServiceOptions options, BundleShelf* shelf)
      : options_(std::move(options)), shelf_(shelf), calls_(options_) {
    // Every call may read whole bundles, or wait for one that does, so all have Cost::kFiles.
    Register<v1::PushBundleRequest, v1::PushBundleResponse>(
        "PushBundle", [this](const v1::PushBundleRequest& request, const rpc::Caller& caller,
                             const Calls::Cancel* cancel) {
          return AuditedPush(options_, shelf_, caller, request, cancel);
        });
    Register<v1::GetBundleRequest, v1::Bundle>(
        "GetBundle",
        [this](const v1::GetBundleRequest& request, const rpc::Caller&,
               const Calls::Cancel*) -> absl::StatusOr<v1::Bundle> {
          MENTOR_ASSIGN_OR_RETURN(const std::string digest, DigestOf(request.name()));
          return shelf_->Get(digest);
        });
    Register<v1::ListBundlesRequest, v1::ListBundlesResponse>(
        "ListBundles", [this](const v1::ListBundlesRequest& request, const rpc::Caller&,
                              const Calls::Cancel*) { return List(shelf_, request); });
    Register<v1::DeleteBundleRequest, Empty>(
        "DeleteBundle",
        [this](const v1::DeleteBundleRequest& request, const rpc::Caller& caller,
               const Calls::Cancel*) -> absl::StatusOr<Empty> {
          const absl::Status status = Delete(options_, shelf_, caller, request);
          Audit(caller, "DeleteBundle", request.name(), status);
          MENTOR_RETURN_IF_ERROR(status);
          return Empty();
        });
    Register<v1::FetchBundleRequest, v1::FetchBundleResponse>(
        "FetchBundle", [this](const v1::FetchBundleRequest& request, const rpc::Caller&,
                              const Calls::Cancel*) { return Fetch(&pieces_, request); });
    MENTOR_CHECK(has_callback_methods() && !has_synchronous_methods());
  }
  ~Impl() { Stop(); }

  void Stop() {
    if (std::exchange(stopped_, true)) return;
    calls_.BeginStop();
    calls_.Stop();
  }

 private:
  template <typename Request, typename Response, typename Answer>
  void Register(const char* method, Answer answer) {
    const auto* found =
        v1::PushBundleRequest::descriptor()->file()->service(0)->FindMethodByName(method);
    MENTOR_CHECK(found != nullptr);
    MarkMethodRawCallback(
        found->index(),
        new grpc::internal::CallbackUnaryHandler<grpc::ByteBuffer, Response>(
            [this, answer, found](grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* received, Response* response) {
              return calls_.Unary<Request>(
                  Calls::Cost::kFiles, context, *received, response,
                  [this, answer, found](const Request& request, const rpc::Caller& caller,
                                        const Calls::Cancel* cancel) -> absl::StatusOr<Response> {
                    MENTOR_RETURN_IF_ERROR(MayAnswer(options_, *found));
                    return answer(request, caller, cancel);
                  });
            }));
  }

  const ServiceOptions options_;
  BundleShelf* const shelf_;
  rpc::BundlePieces pieces_{[this](const std::string& digest) { return shelf_->Find(digest); }};
  Calls calls_;
  bool stopped_ = false;
};

BundleService::BundleService(ServiceOptions options, BundleShelf* shelf)
    : impl_(std::make_unique<Impl>(std::move(options), shelf)) {}

BundleService::~BundleService() = default;

grpc::Service* BundleService::service() {
  return impl_.get();
}

void BundleService::Stop() {
  impl_->Stop();
}

}  // namespace mentor::meta_learner
