// The verbs `bundles push`, `list`, `show`, `pull` and `delete`.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/values.h"
#include "common/bundle.h"
#include "common/check.h"
#include "common/hash.h"
#include "common/resources/names.h"
#include "common/rpc/bundle_transfer.h"

namespace mentor::ctl {
namespace {

// Timeout for bundle calls: the server may hash and write a whole bundle in one call.
constexpr std::chrono::minutes kWholeBundle{3};
constexpr size_t kPrefixDigitsMin = 6;
constexpr int kRestartsMax = 3;
constexpr char kHint[] = "'mentorctl bundles list' shows them";

absl::StatusOr<v1::ListBundlesResponse> AllBundles(Client* client) {
  return client->CallForAll(&BundleStub::ListBundles, v1::ListBundlesRequest());
}

// Returns "bundles/HEX" for any way to name a bundle: "sha256:HEX", "bundles/HEX", a unique prefix
// of the digits, or the folder that was pushed.
absl::StatusOr<std::string> ResourceOf(Client* client, const std::string& given) {
  if (const auto digest = ParseBundleName(given); digest.ok()) return BundleResource(*digest);
  if (BundleDigestOf(given)) return given;
  std::error_code ignored;
  if (std::filesystem::is_directory(given, ignored)) {
    MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, ReadBundle(given));
    return BundleResource(manifest.digest);
  }
  std::string_view digits = given;
  for (const std::string_view prefix : {std::string_view("sha256:"), kBundlesPrefix}) {
    if (digits.starts_with(prefix)) digits.remove_prefix(prefix.size());
  }
  if (digits.size() < kPrefixDigitsMin || !IsHex(digits)) {
    return absl::InvalidArgumentError(
        absl::StrFormat("bundle '%s': give its name, at least %d digits of it, or its folder",
                        Printable(given), kPrefixDigitsMin));
  }
  MENTOR_ASSIGN_OR_RETURN(const auto all, AllBundles(client));
  Names found;
  for (const v1::Bundle& bundle : all.bundles()) {
    if (LastPart(bundle.name()).starts_with(digits)) found.push_back(bundle.name());
  }
  return OnlyOne(found, "bundle", given, "its digits");
}

std::string Shown(const std::string& resource) {
  return BundleName(LastPart(resource));
}

// ---- push

absl::StatusOr<v1::PushBundleResponse> BeginPush(Client* client, const BundleManifest& manifest) {
  v1::PushBundleRequest request;
  request.set_name(BundleResource(manifest.digest));
  FilesToProto(manifest, request.mutable_files());
  return client->Call(&BundleStub::PushBundle, request, kWholeBundle);
}

absl::StatusOr<v1::PushBundleResponse> SendPiece(Client* client, const BundleManifest& manifest,
                                                 const BundleSource& source, uint64_t offset) {
  v1::PushBundleRequest request;
  request.set_name(BundleResource(manifest.digest));
  request.set_offset(offset);
  MENTOR_ASSIGN_OR_RETURN(*request.mutable_data(), source(offset));
  request.set_crc32c(Crc32c(request.data()));
  return client->Call(&BundleStub::PushBundle, request, kWholeBundle);
}

absl::StatusOr<v1::PushBundleResponse> PushAll(Session& session, const BundleManifest& manifest,
                                               const std::filesystem::path& folder) {
  const BundleSource source = FolderSource(folder, manifest, rpc::kBundlePieceBytes);
  MENTOR_ASSIGN_OR_RETURN(v1::PushBundleResponse standing, BeginPush(session.client, manifest));
  if (standing.complete()) return standing;
  session.output.Note(absl::StrFormat(
      "%s %s, %s%s", standing.next_offset() > 0 ? "going on with" : "pushing",
      BundleName(manifest.digest), Bytes(manifest.bytes()),
      standing.next_offset() > 0 ? ", of which " + Bytes(standing.next_offset()) + " are there"
                                 : ""));
  for (int restarts = 0; !standing.complete();) {
    auto sent = SendPiece(session.client, manifest, source, standing.next_offset());
    // The server has less than before: the upload was removed, or another client pushes the same
    // bundle.
    const bool lost =
        absl::IsOutOfRange(sent.status()) || absl::IsFailedPrecondition(sent.status());
    if (lost && ++restarts <= kRestartsMax) sent = BeginPush(session.client, manifest);
    MENTOR_ASSIGN_OR_RETURN(standing, std::move(sent));
  }
  return standing;
}

absl::StatusOr<int> PushBundles(Session& session, const Names& folders) {
  return ForEach(session, folders, [&](const std::string& folder) -> absl::Status {
    std::vector<std::string> left_out;
    MENTOR_ASSIGN_OR_RETURN(const BundleManifest manifest, ReadBundle(folder, &left_out));
    if (!left_out.empty()) session.output.Note(LeftOutText(folder, left_out));
    MENTOR_RETURN_IF_ERROR(PushAll(session, manifest, folder).status());
    const std::string name = BundleName(manifest.digest);
    v1::Bundle bundle;
    bundle.set_name(BundleResource(manifest.digest));
    bundle.set_size_bytes(manifest.bytes());
    bundle.set_file_count(static_cast<uint32_t>(manifest.files.size()));
    session.output.Done(
        bundle, name,
        absl::StrFormat("%s is there: %d files, %s; specs name it with option { "
                        "name: \"bundle\" value: \"%s\" }",
                        folder, manifest.files.size(), Bytes(manifest.bytes()), name));
    return absl::OkStatus();
  });
}

// ---- list, show, pull, delete

absl::StatusOr<int> ListBundles(Session& session) {
  MENTOR_ASSIGN_OR_RETURN(const auto all, AllBundles(session.client));
  const absl::Time now = absl::Now();
  Listing listing(&session.output, {"BUNDLE", "FILES", "SIZE", "OWNER", "PUSHED"});
  for (const v1::Bundle& bundle : all.bundles()) {
    listing.Add(
        bundle, Shown(bundle.name()),
        {Shown(bundle.name()), absl::StrCat(bundle.file_count()), Bytes(bundle.size_bytes()),
         bundle.owner(), Ago(FromProto(bundle.create_time()), now)});
  }
  return listing.End();
}

absl::StatusOr<v1::Bundle> GetBundle(Client* client, const std::string& given) {
  auto name = ResourceOf(client, given);
  if (!name.ok()) return WithHint(name.status(), kHint);
  v1::GetBundleRequest request;
  request.set_name(*std::move(name));
  auto bundle = client->Call(&BundleStub::GetBundle, request);
  if (!bundle.ok()) return WithHint(bundle.status(), kHint);
  return bundle;
}

absl::StatusOr<int> ShowBundle(Session& session, const std::string& given) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Bundle bundle, GetBundle(session.client, given));
  std::vector<Row> rows = {{"Bundle", Shown(bundle.name())},
                           {"Size", Bytes(bundle.size_bytes())},
                           {"Owner", bundle.owner()},
                           {"Pushed", LocalTime(FromProto(bundle.create_time()))},
                           {"Files", absl::StrCat(bundle.file_count())}};
  for (const v1::BundleFile& file : bundle.files())
    rows.push_back({"", absl::StrFormat("%s  %s", file.path(), Bytes(file.size_bytes()))});
  session.output.Object(bundle, Shown(bundle.name()), rows);
  return kOk;
}

struct PullFlags {
  std::string bundle, folder;
};

absl::StatusOr<int> PullBundle(Session& session, const PullFlags& flags) {
  MENTOR_ASSIGN_OR_RETURN(const v1::Bundle bundle, GetBundle(session.client, flags.bundle));
  MENTOR_RETURN_IF_ERROR(WriteBundle(
      ManifestFromProto(LastPart(bundle.name()), bundle.files()),
      [&](uint64_t offset) -> absl::StatusOr<std::string> {
        v1::FetchBundleRequest request;
        request.set_name(bundle.name());
        request.set_offset(offset);
        MENTOR_ASSIGN_OR_RETURN(
            auto piece, session.client->Call(&BundleStub::FetchBundle, request, kWholeBundle));
        return std::move(*piece.mutable_data());
      },
      flags.folder));
  session.output.Done(bundle, Shown(bundle.name()),
                      absl::StrFormat("%s has the %d files of %s, verified", flags.folder,
                                      bundle.file_count(), Shown(bundle.name())));
  return kOk;
}

struct DeleteBundleFlags {
  Names names;
  bool allow_missing = false;
};

absl::StatusOr<int> DeleteBundles(Session& session, const DeleteBundleFlags& flags) {
  const auto remove = [&](const std::string& given) -> absl::Status {
    const auto name = ResourceOf(session.client, given);
    if (absl::IsNotFound(name.status()) && flags.allow_missing) return absl::OkStatus();
    MENTOR_RETURN_IF_ERROR(name.status());
    v1::DeleteBundleRequest request;
    request.set_name(*name);
    request.set_allow_missing(flags.allow_missing);
    MENTOR_RETURN_IF_ERROR(session.client
                               ->Call(&BundleStub::DeleteBundle, request, /*at_least=*/{},
                                      /*gone_is_done=*/true)
                               .status());
    v1::Bundle bundle;
    bundle.set_name(*name);
    session.output.Done(bundle, Shown(*name), Shown(*name) + " deleted");
    return absl::OkStatus();
  };
  return ForEach(session, flags.names,
                 [&](const std::string& given) { return WithHint(remove(given), kHint); });
}

constexpr char kNameHelp[] = "sha256:HEX, the beginning of the digits, or the folder";

}  // namespace

void AddBundleVerbs(Commands* commands) {
  CLI::App* noun = commands->AddNoun(kExperimentGroup, "bundles",
                                     "Keep folders of models and tasks for experiments to name",
                                     "mentorctl bundles push my_robot/\nmentorctl bundles list");

  const auto [push, push_folders] = commands->Add<Names>(
      noun, "push",
      "Send folders; an interrupted upload resumes, and files that the server has are not sent",
      "mentorctl bundles push my_robot/\n"
      "mentorctl bundles push my_robot/ --output name    # sha256:HEX, for a spec",
      PushBundles);
  AddOption(push, "folders", push_folders, "DIR",
            "Folders of at most 256 MB, 2,000 files and 2,000 folders; links may not lead out of "
            "them. Version control (.git), swap files and backups are left out")
      ->required();
  commands->Add(noun, "list", "List bundles with their size and owner",
                "mentorctl bundles list\nmentorctl bundles list --output json", ListBundles);

  const auto [show, show_name] = commands->Add<std::string>(
      noun, "show", "Show a bundle and its files",
      "mentorctl bundles show sha256:0b5c2f1a\nmentorctl bundles show my_robot/", ShowBundle);
  AddOption(show, "bundle", show_name, "BUNDLE", kNameHelp)->required();

  const auto [pull, pull_flags] =
      commands->Add<PullFlags>(noun, "pull", "Fetch a bundle into a new folder, and verify it",
                               "mentorctl bundles pull sha256:0b5c2f1a robot_copy", PullBundle);
  AddOption(pull, "bundle", &pull_flags->bundle, "BUNDLE", kNameHelp)->required();
  AddOption(pull, "folder", &pull_flags->folder, "DIR", "New folder for the files")->required();

  const auto [remove, remove_flags] = commands->Add<DeleteBundleFlags>(
      noun, "delete", "Delete bundles that no experiment names",
      "mentorctl bundles delete sha256:0b5c2f1a\nmentorctl bundles delete my_robot/ "
      "--allow_missing",
      DeleteBundles);
  AddOption(remove, "bundles", &remove_flags->names, "BUNDLE", kNameHelp)->required();
  remove->add_flag("--allow_missing", remove_flags->allow_missing, "A missing bundle is no error");
}

}  // namespace mentor::ctl
