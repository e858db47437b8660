// The verbs `bundles push`, `list`, `show`, `pull` and `delete`.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/bundle.h"
#include "common/check.h"
#include "common/hash.h"
#include "common/resources/names.h"
#include "common/rpc/bundles.h"
#include "common/status.h"
#include "mentor/ctl/commands.h"
#include "mentor/ctl/experiment_flags.h"
#include "mentor/ctl/values.h"

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
  std::vector<std::string> found;
  for (const v1::Bundle& bundle : all.bundles()) {
    if (LastPart(bundle.name()).starts_with(digits)) found.push_back(bundle.name());
  }
  if (found.size() == 1) return found[0];
  if (found.empty()) {
    return MakeError(absl::StatusCode::kNotFound, Reason::kNotFound, "there is no bundle " + given);
  }
  return absl::InvalidArgumentError("bundle '" + given + "' could be " +
                                    absl::StrJoin(found, " or ") + ": give more of its digits");
}

std::string Shown(const std::string& resource) {
  return BundleName(LastPart(resource));
}

// ---- push

absl::StatusOr<v1::PushBundleResponse> BeginPush(Client* client, const BundleManifest& manifest) {
  v1::PushBundleRequest request;
  request.set_name(BundleResource(manifest.digest));
  rpc::FilesToProto(manifest, request.mutable_files());
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

int PushBundles(Session& session, const std::vector<std::string>& folders) {
  return ForEach(session, folders, [&](const std::string& folder) -> int {
    std::vector<std::string> left_out;
    const auto manifest = ReadBundle(folder, &left_out);
    if (!manifest.ok()) return session.output.Fail(manifest.status());
    if (!left_out.empty()) session.output.Note(LeftOutText(folder, left_out));
    const auto pushed = PushAll(session, *manifest, folder);
    if (!pushed.ok()) return session.output.Fail(pushed.status());
    v1::Bundle bundle;
    bundle.set_name(BundleResource(manifest->digest));
    bundle.set_size_bytes(manifest->bytes());
    bundle.set_file_count(static_cast<uint32_t>(manifest->files.size()));
    session.output.Done(bundle, BundleName(manifest->digest),
                        absl::StrFormat("%s is there: %d files, %s; specs name it with option { "
                                        "name: \"bundle\" value: \"%s\" }",
                                        folder, manifest->files.size(), Bytes(manifest->bytes()),
                                        BundleName(manifest->digest)));
    return kOk;
  });
}

// ---- list, show, pull, delete

int ListBundles(Session& session) {
  const auto all = AllBundles(session.client);
  if (!all.ok()) return session.output.Fail(all.status());
  const absl::Time now = absl::Now();
  Listing listing(&session.output, {"BUNDLE", "FILES", "SIZE", "OWNER", "PUSHED"});
  for (const v1::Bundle& bundle : all->bundles()) {
    listing.Add(
        bundle, Shown(bundle.name()),
        {Shown(bundle.name()), absl::StrCat(bundle.file_count()), Bytes(bundle.size_bytes()),
         bundle.owner(), Ago(FromProto(bundle.create_time()), now)});
  }
  listing.End();
  return kOk;
}

absl::StatusOr<v1::Bundle> GetBundle(Client* client, const std::string& given) {
  v1::GetBundleRequest request;
  MENTOR_ASSIGN_OR_RETURN(*request.mutable_name(), ResourceOf(client, given));
  return client->Call(&BundleStub::GetBundle, request);
}

int ShowBundle(Session& session, const std::string& given) {
  const auto bundle = GetBundle(session.client, given);
  if (!bundle.ok()) return session.output.Fail(bundle.status(), kHint);
  std::vector<Row> rows = {{"Bundle", Shown(bundle->name())},
                           {"Size", Bytes(bundle->size_bytes())},
                           {"Owner", bundle->owner()},
                           {"Pushed", LocalTime(FromProto(bundle->create_time()))},
                           {"Files", absl::StrCat(bundle->file_count())}};
  for (const v1::BundleFile& file : bundle->files())
    rows.push_back({"", absl::StrFormat("%s  %s", file.path(), Bytes(file.size_bytes()))});
  session.output.Object(*bundle, Shown(bundle->name()), rows);
  return kOk;
}

int PullBundle(Session& session, const std::string& given, const std::string& folder) {
  const auto bundle = GetBundle(session.client, given);
  if (!bundle.ok()) return session.output.Fail(bundle.status(), kHint);
  const BundleManifest manifest = rpc::ManifestFromProto(LastPart(bundle->name()), bundle->files());
  const absl::Status written = WriteBundle(
      manifest,
      [&](uint64_t offset) -> absl::StatusOr<std::string> {
        v1::FetchBundleRequest request;
        request.set_name(bundle->name());
        request.set_offset(offset);
        auto piece = session.client->Call(&BundleStub::FetchBundle, request, kWholeBundle);
        MENTOR_RETURN_IF_ERROR(piece.status());
        return std::move(*piece->mutable_data());
      },
      folder);
  if (!written.ok()) return session.output.Fail(written);
  session.output.Done(*bundle, Shown(bundle->name()),
                      absl::StrFormat("%s has the %d files of %s, verified", folder,
                                      bundle->file_count(), Shown(bundle->name())));
  return kOk;
}

int DeleteBundles(Session& session, const std::vector<std::string>& names, bool allow_missing) {
  return ForEach(session, names, [&](const std::string& given) -> int {
    const auto name = ResourceOf(session.client, given);
    if (absl::IsNotFound(name.status()) && allow_missing) return kOk;
    if (!name.ok()) return session.output.Fail(name.status(), kHint);
    v1::DeleteBundleRequest request;
    request.set_name(*name);
    request.set_allow_missing(allow_missing);
    const auto empty = session.client->Call(&BundleStub::DeleteBundle, request, /*at_least=*/{},
                                            /*gone_is_done=*/true);
    if (!empty.ok()) return session.output.Fail(empty.status(), kHint);
    v1::Bundle bundle;
    bundle.set_name(*name);
    session.output.Done(bundle, Shown(*name), Shown(*name) + " deleted");
    return kOk;
  });
}

CLI::Option* AddBundleName(CLI::App* command, std::string* name) {
  return command
      ->add_option("bundle", *name, "sha256:HEX, the beginning of the digits, or the folder")
      ->type_name("BUNDLE")
      ->required();
}

}  // namespace

void AddBundleVerbs(Commands* commands) {
  CLI::App* noun = commands->AddNoun(kExperimentGroup, "bundles",
                                     "Keep folders of models and tasks for experiments to name",
                                     "mentorctl bundles push my_robot/\nmentorctl bundles list");
  {
    const auto folders = std::make_shared<std::vector<std::string>>();
    CLI::App* command = commands->AddUnder(
        noun, "push",
        "Send folders; an interrupted upload resumes, and files that the server has are not sent",
        "mentorctl bundles push my_robot/\n"
        "mentorctl bundles push my_robot/ --output name    # sha256:HEX, for a spec",
        [=](Session& session) { return PushBundles(session, *folders); }, false);
    command
        ->add_option(
            "folders", *folders,
            "Folders of at most 256 MB, 2,000 files and 2,000 folders; links may not lead out of "
            "them. Version control (.git), swap files and backups are left out")
        ->type_name("DIR")
        ->required();
  }
  commands->AddUnder(
      noun, "list", "List bundles with their size and owner",
      "mentorctl bundles list\nmentorctl bundles list --output json",
      [](Session& session) { return ListBundles(session); }, false);
  {
    const auto name = std::make_shared<std::string>();
    CLI::App* command = commands->AddUnder(
        noun, "show", "Show a bundle and its files",
        "mentorctl bundles show sha256:0b5c2f1a\nmentorctl bundles show my_robot/",
        [=](Session& session) { return ShowBundle(session, *name); }, false);
    AddBundleName(command, name.get());
  }
  {
    const auto name = std::make_shared<std::string>();
    const auto folder = std::make_shared<std::string>();
    CLI::App* command = commands->AddUnder(
        noun, "pull", "Fetch a bundle into a new folder, and verify it",
        "mentorctl bundles pull sha256:0b5c2f1a robot_copy",
        [=](Session& session) { return PullBundle(session, *name, *folder); }, false);
    AddBundleName(command, name.get());
    command->add_option("folder", *folder, "New folder for the files")
        ->type_name("DIR")
        ->required();
  }
  {
    const auto names = std::make_shared<std::vector<std::string>>();
    const auto allow_missing = std::make_shared<bool>(false);
    CLI::App* command = commands->AddUnder(
        noun, "delete", "Delete bundles that no experiment names",
        "mentorctl bundles delete sha256:0b5c2f1a\nmentorctl bundles delete my_robot/ "
        "--allow_missing",
        [=](Session& session) { return DeleteBundles(session, *names, *allow_missing); }, false);
    command->add_option("bundles", *names, "sha256:HEX, the beginning of the digits, or the folder")
        ->type_name("BUNDLE")
        ->required();
    command->add_flag("--allow_missing", *allow_missing, "A missing bundle is no error");
  }
}

}  // namespace mentor::ctl
