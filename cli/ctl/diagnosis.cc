// The verb `doctor`.
#include "cli/ctl/diagnosis.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include "cli/ctl/commands.h"
#include "cli/ctl/experiment_flags.h"
#include "cli/ctl/values.h"
#include "common/file.h"
#include "common/protocol.h"
#include "common/resources/names.h"
#include "common/rpc/address.h"
#include "common/rpc/proxy.h"

namespace mentor::ctl {
namespace {

using Grade = Finding::Grade;
using S = v1::Experiment;

constexpr absl::Duration kExpiresSoon = absl::Hours(24 * 30);
constexpr absl::Duration kFarAway = absl::Milliseconds(100);

absl::Time TimeOfCertificate(const ASN1_TIME* time) {
  tm parts = {};
  ASN1_TIME_to_tm(time, &parts);
  return absl::FromTM(parts, absl::UTCTimeZone());
}

std::string SubjectOf(X509* certificate) {
  char text[200] = "";
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof text);
  return text;
}

// "actors/a, actors/b and 3 more"
std::string Some(const std::vector<std::string>& names) {
  const size_t shown = std::min<size_t>(names.size(), 3);
  std::string text =
      absl::StrJoin(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", ");
  if (names.size() > shown) absl::StrAppend(&text, " and ", names.size() - shown, " more");
  return text;
}

constexpr std::pair<const char*, Style> kGrades[] = {
    {"good", Style::kGood}, {"look", Style::kWarning}, {"bad", Style::kBad}};

// Checks that need no server.
void CheckOwnSide(const Settings& settings, std::vector<Finding>* findings) {
  findings->push_back(
      {Grade::kGood, "config",
       settings.config_exists() ? settings.config_path().string() + " is valid" : "no config file",
       ""});
  for (const std::string& warning : settings.warnings()) {
    findings->push_back({Grade::kBad, "config", warning, "chmod go-w it"});
  }
  const auto servers = rpc::ParseAddresses(settings.server(), rpc::kServersMax);
  for (const std::string& server : servers.value_or(std::vector<std::string>())) {
    if (const auto proxy = rpc::ProxyFor(server)) {
      findings->push_back(
          {Grade::kNotice, "proxy",
           absl::StrCat(server, " is called through ", rpc::Describe(*proxy, server)), ""});
    }
  }
  const rpc::TlsFiles tls = settings.tls();
  const absl::Time now = absl::Now();
  const auto certificate = [&](const char* subject, const std::string& path) {
    if (path.empty()) return;
    const auto pem = ReadFile(path, 1 << 20);
    findings->push_back(pem.ok()
                            ? CheckCertificate(subject, *pem, now)
                            : Finding{Grade::kBad, subject, std::string(pem.status().message()),
                                      "name a file that is there"});
  };
  certificate("authority", tls.authority);
  certificate("own certificate", tls.certificate);
  if (!tls.key.empty()) findings->push_back(CheckSecretFile("own key", tls.key));
  for (const Setting& setting : settings.all()) {
    if (setting.name == "token_file" && !setting.value.empty()) {
      findings->push_back(CheckSecretFile("token", setting.value));
    }
  }
}

// Checks the server, the fleet and the experiments. Returns the exit code of the error that
// prevented the checks.
int CheckServer(Session& session, std::vector<Finding>* findings) {
  Client* client = session.client;
  const auto began = absl::Now();
  const auto experiments = OpenExperiments(client);
  if (!experiments.ok()) {
    const int code = ExitCodeOf(experiments.status());
    std::string advice = "read the meta-learner's log";
    if (code == kUnavailable) {
      const rpc::TlsFiles tls = session.settings.tls();
      advice = "start mentor-meta-learner there, or name another server; ";
      advice += tls.empty() ? "a server with TLS needs --tls_ca"
                            : "its certificate must come from --tls_ca and name its host";
      if (tls.certificate.empty())
        advice += "; one that asks for client certificates needs --tls_cert and --tls_key";
    } else if (code == kCredentials) {
      advice = "give a token of role viewer or more with --token_file or MENTOR_TOKEN";
    }
    findings->push_back({Grade::kBad, "server",
                         absl::StrCat(client->server(), ": ", experiments.status().message()),
                         advice});
    return code;
  }
  findings->push_back({Grade::kGood, "server",
                       absl::StrFormat("%s answers in %.1f ms", client->server(),
                                       absl::ToDoubleMilliseconds(absl::Now() - began)),
                       ""});
  if (!client->server_certificate().empty()) {
    findings->push_back(
        CheckCertificate("server certificate", client->server_certificate(), absl::Now()));
  }
  const auto answer = client->CallForAll(&Stub::ListPeers, v1::ListPeersRequest());
  if (!answer.ok()) {
    findings->push_back({Grade::kBad, "peers", std::string(answer.status().message()), ""});
    return ExitCodeOf(answer.status());
  }
  const std::vector<v1::Peer> peers(answer->peers().begin(), answer->peers().end());
  for (auto& found :
       {CheckFleet(peers, std::string(kBuildVersion)), CheckExperiments(*experiments, peers)})
    findings->insert(findings->end(), found.begin(), found.end());
  return kOk;
}

absl::StatusOr<int> Doctor(Session& session) {
  const Output& output = session.output;
  std::vector<Finding> findings;
  CheckOwnSide(session.settings, &findings);
  int code = kFailed;
  if (session.client != nullptr) {
    code = CheckServer(session, &findings);
  } else {
    findings.push_back({Grade::kBad, "server",
                        "not asked: " + std::string(session.no_client.message()),
                        "fix this, then try again"});
  }
  bool bad = false;
  for (const Finding& finding : findings) {
    bad |= finding.grade == Grade::kBad;
    const auto [grade, style] = kGrades[static_cast<int>(finding.grade)];
    if (!output.table()) {
      output.Document(nlohmann::ordered_json{{"grade", grade},
                                             {"subject", finding.subject},
                                             {"what", finding.what},
                                             {"advice", finding.advice}},
                      finding.subject);
      continue;
    }
    std::printf("%s  %s: %s\n", Styled(grade, style, output.options().color).c_str(),
                Printable(finding.subject).c_str(), Printable(finding.what).c_str());
    if (!finding.advice.empty()) std::printf("      -> %s\n", Printable(finding.advice).c_str());
  }
  return code == kOk && bad ? kFailed : code;
}

}  // namespace

Finding CheckCertificate(const std::string& subject, const std::string& pem, absl::Time now) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
  ERR_clear_error();
  if (!certificate) {
    return {Grade::kBad, subject, "is not a PEM certificate", "make one: mentorctl certs init DIR"};
  }
  const absl::Time from = TimeOfCertificate(X509_get0_notBefore(certificate.get()));
  const absl::Time to = TimeOfCertificate(X509_get0_notAfter(certificate.get()));
  const std::string name = "'" + Printable(SubjectOf(certificate.get())) + "'";
  if (now < from) {
    return {Grade::kBad, subject,
            absl::StrFormat("%s is valid %s, since %s", name, Ago(from, now), LocalTime(from)),
            "compare the clocks of both machines"};
  }
  if (now > to) {
    return {Grade::kBad, subject,
            absl::StrFormat("%s expired %s, on %s", name, Ago(to, now), LocalTime(to)),
            "replace the certificate and its key; servers read new files without a restart"};
  }
  const std::string what =
      absl::StrFormat("%s expires %s, on %s", name, Ago(to, now), LocalTime(to));
  if (to - now < kExpiresSoon) {
    return {Grade::kNotice, subject, what, "replace the certificate and its key in time"};
  }
  return {Grade::kGood, subject, what, ""};
}

Finding CheckSecretFile(const std::string& subject, const std::string& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) {
    return {Grade::kBad, subject, path + " cannot be read",
            "name a file that is there; 'mentorctl config view' says where the name comes from"};
  }
  if ((facts.st_mode & 077) != 0) {
    return {Grade::kNotice, subject,
            absl::StrFormat("others may read %s (mode %04o)", path, facts.st_mode & 07777u),
            "chmod 600 it"};
  }
  return {Grade::kGood, subject, path + " is private", ""};
}

std::vector<Finding> CheckFleet(const std::vector<v1::Peer>& peers, const std::string& own_build) {
  std::vector<Finding> findings;
  std::map<std::string, std::vector<std::string>> builds, catalogues;
  std::vector<std::string> learners, actors, idle, far, draining, away;
  for (const v1::Peer& peer : peers) {
    const std::string name = ShortPeer(peer.name());
    (IsLearner(peer) ? learners : actors).push_back(name);
    builds[peer.build()].push_back(name);
    if (!peer.catalogue_hash().empty()) catalogues[peer.catalogue_hash()].push_back(name);
    if (peer.has_round_trip() && FromProto(peer.round_trip()) > kFarAway) far.push_back(name);
    if (peer.draining()) draining.push_back(name);
    if (peer.quarantined()) away.push_back(name);
    if (IsLearner(peer) && !HasActors(peers, peer)) idle.push_back(name);
  }
  const auto add = [&](Grade grade, const char* subject, const std::string& what,
                       const std::string& advice) {
    findings.push_back({grade, subject, what, advice});
  };
  const auto add_connected = [&](const char* kind, size_t count, const char* none,
                                 const char* start) {
    add(count == 0 ? Grade::kBad : Grade::kGood, kind,
        count == 0 ? none : absl::StrFormat("%d connected", count),
        count == 0 ? absl::StrCat("start ", start, "; its log says why it does not connect") : "");
  };
  add_connected("learners", learners.size(), "no learner is connected, so nothing is computed",
                "mentor-learner --meta_learner HOST:PORT");
  add_connected("actors", actors.size(), "no actor is connected, so nothing is simulated",
                "mentor-actor --learner HOST:PORT");
  if (!idle.empty() && !actors.empty()) {
    add(Grade::kNotice, "actors", Some(idle) + " without actors",
        "point some actors there with --learner");
  }
  for (const auto& [build, names] : builds) {
    if (build == own_build) continue;
    add(Grade::kNotice, "builds",
        absl::StrCat(Some(names), names.size() == 1 ? " is" : " are", " of build ", build,
                     ", this program of ", own_build),
        "update them together");
  }
  if (builds.size() == 1 && builds.begin()->first == own_build) {
    add(Grade::kGood, "builds", "all are " + own_build, "");
  }
  if (catalogues.size() > 1) {
    std::vector<std::string> parts;
    for (const auto& [hash, names] : catalogues) {
      parts.push_back(hash.substr(0, 12) + ": " + Some(names));
    }
    add(Grade::kBad, "catalogues",
        "peers know different environments: " + absl::StrJoin(parts, "; "),
        "run the same build and the same assets everywhere");
  } else if (catalogues.size() == 1) {
    add(Grade::kGood, "catalogues", "all peers know the same environments", "");
  }
  if (!far.empty()) {
    add(Grade::kNotice, "network", Some(far) + " need more than 100 ms for a round trip",
        "put actors near their learner; more --threads hide some of it");
  }
  if (!away.empty()) {
    add(Grade::kBad, "sick peers",
        Some(away) + " failed or held up others, and get no work for a while",
        "look at their logs and machines; they are tried again automatically");
  }
  if (!draining.empty()) {
    add(Grade::kNotice, "draining",
        Some(draining) + (draining.size() == 1 ? " takes" : " take") + " no more work",
        "stop the process when its work is 0, or start it again");
  }
  return findings;
}

std::vector<Finding> CheckExperiments(const std::vector<v1::Experiment>& experiments,
                                      const std::vector<v1::Peer>& peers) {
  std::vector<Finding> findings;
  int running = 0;
  std::vector<std::string> full, at_quota, queued;
  for (const v1::Experiment& experiment : experiments) {
    running += experiment.state() == S::STATE_RUNNING;
    if (experiment.state() == S::STATE_QUEUED) queued.push_back(ShortName(experiment.name()));
    if (experiment.pause_reason() == S::PAUSE_REASON_DISK_FULL) {
      full.push_back(ShortName(experiment.name()));
    }
    if (experiment.pause_reason() == S::PAUSE_REASON_STORAGE_QUOTA)
      at_quota.push_back(ShortName(experiment.name()));
  }
  if (!full.empty()) {
    findings.push_back({Grade::kBad, "disk",
                        "the meta-learner's disk is full: " + Some(full) + " wait for room",
                        "delete experiments or make the disk larger; they resume automatically"});
  }
  if (!at_quota.empty()) {
    findings.push_back(
        {Grade::kBad, "quota",
         "checkpoints of their owners have reached the storage limit: " + Some(at_quota) + " wait",
         "delete experiments of these owners, or raise the meta-learner's "
         "--max_storage_per_owner_gb; they resume automatically"});
  }
  if (!queued.empty() && running == 0) {
    findings.push_back({Grade::kNotice, "queue", Some(queued) + " wait although nothing runs",
                        peers.empty() ? "start learners and actors"
                                      : "look at 'mentorctl logs' and the meta-learner's log"});
  }
  if (findings.empty()) {
    findings.push_back({Grade::kGood, "experiments",
                        absl::StrFormat("%d running, %d queued", running, queued.size()), ""});
  }
  return findings;
}

void AddDoctorVerb(Commands* commands) {
  commands->Add(kClientGroup, "doctor", "Check connection, credentials and fleet for problems",
                "mentorctl doctor\nmentorctl doctor --context lab --output json", Doctor,
                Needs::kAnswer);
}

}  // namespace mentor::ctl
