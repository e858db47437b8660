#include "common/rpc/acceptor.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <absl/strings/str_cat.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/check.h"
#include "common/log.h"
#include "common/rpc/address.h"
#include "common/rpc/known_peers.h"

namespace mentor::rpc {
namespace {

constexpr int kBacklog = 1024;
// Interval between checks of strangers' connections.
constexpr int kSweepMs = 100;
// Reserved for the process itself: files, logs, its own connections.
constexpr rlim_t kOwnDescriptors = 256;

size_t BoundedByDescriptors(int wanted) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return static_cast<size_t>(wanted);
  const rlim_t own = std::min(kOwnDescriptors, limit.rlim_cur / 2);
  // Two for each connection, since a stranger's connection has a duplicate.
  const rlim_t possible = (limit.rlim_cur - own) / 2;
  return static_cast<size_t>(std::min<rlim_t>(static_cast<rlim_t>(wanted), possible));
}

// Formats a peer as gRPC's context.peer() does.
std::string PeerOf(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof(text));
    return absl::StrCat("ipv4:", text, ":", ntohs(v4.sin_port));
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], text, sizeof(text));
    return absl::StrCat("ipv4:", text, ":", ntohs(v6.sin6_port));
  }
  inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof(text));
  return absl::StrCat("ipv6:%5B", text, "%5D:", ntohs(v6.sin6_port));
}

uint64_t BytesReceived(int socket) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  if (getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

int PortOf(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

void SetPort(sockaddr* address, int port) {
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(static_cast<uint16_t>(port));
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(static_cast<uint16_t>(port));
  }
}

// Returns a listening socket, or none with errno set.
OpenedFile ListenOn(const addrinfo& info) {
  OpenedFile socket_of(
      socket(info.ai_family, info.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, info.ai_protocol));
  const int listener = socket_of.get();
  if (listener < 0) return socket_of;
  const int on = 1, off = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // [::] accepts IPv4 too, as in gRPC.
  if (info.ai_family == AF_INET6) {
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
  }
  if (bind(listener, info.ai_addr, info.ai_addrlen) == 0 && listen(listener, kBacklog) == 0) {
    return socket_of;
  }
  const int error = errno;
  socket_of.Close();
  errno = error;
  return socket_of;
}

}  // namespace

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

absl::StatusOr<std::unique_ptr<Acceptor>> Acceptor::Listen(const Options& options) {
  MENTOR_ASSIGN_OR_RETURN(const std::string address,
                          ParseAddress(options.address, AddressOf::kServer));
  const std::string host = HostOf(address), port = address.substr(address.rfind(':') + 1);
  const auto refused = [&](const std::string& why) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on '", address, "': ", why,
                     "; the address is in use or not of this machine; choose another one"));
  };
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return refused(gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  std::unique_ptr<Acceptor> acceptor(new Acceptor);
  std::string why = "no address";
  for (const addrinfo* info = addresses.get(); info != nullptr; info = info->ai_next) {
    if (info->ai_family != AF_INET && info->ai_family != AF_INET6) continue;
    if (acceptor->port_ != 0) SetPort(info->ai_addr, acceptor->port_);
    OpenedFile listener = ListenOn(*info);
    if (listener.get() < 0) {
      why = std::strerror(errno);
      // A name may also have an address of a family that this machine lacks; such an address is
      // skipped. A taken port is an error.
      if (errno == EADDRINUSE) return refused(why);
      continue;
    }
    acceptor->port_ = PortOf(listener.get());
    acceptor->listeners_.push_back(std::move(listener));
  }
  if (acceptor->listeners_.empty()) return refused(why);
  acceptor->connections_max_ = BoundedByDescriptors(options.connections_max);
  acceptor->unknown_bytes_max_ = options.unknown_bytes_max;
  acceptor->wake_ = OpenedFile(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  acceptor->reserve_ = OpenFile("/dev/null", O_RDONLY);
  if (acceptor->wake_.get() < 0 || acceptor->reserve_.get() < 0)
    return refused(std::strerror(errno));
  if (options.metrics != nullptr) {
    acceptor->refused_ = &options.metrics->Counter(
        "mentor_rpc_connections_refused_total",
        "Connections closed at once, because there are too many or no descriptors are left.");
    acceptor->ended_ = &options.metrics->Counter(
        "mentor_rpc_strangers_ended_total",
        "Connections ended because they sent many bytes and no admitted call.");
  }
  return acceptor;
}

Acceptor::~Acceptor() {
  Stop();
}

void Acceptor::Start(std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> server) {
  server_ = std::move(server);
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

void Acceptor::Stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof(one));
    thread_.join();
  }
  while (!connections_.empty()) Forget(connections_.size() - 1);
  listeners_.clear();
}

void Acceptor::Run(std::stop_token stop) {
  std::vector<pollfd> waits;
  for (const OpenedFile& listener : listeners_) waits.push_back({listener.get(), POLLIN, 0});
  waits.push_back({wake_.get(), POLLIN, 0});
  while (!stop.stop_requested()) {
    const bool strangers =
        std::any_of(connections_.begin(), connections_.end(),
                    [](const Connection& connection) { return connection.own.get() >= 0; });
    const int ready = poll(waits.data(), waits.size(), strangers ? kSweepMs : -1);
    if (strangers) Sweep();
    if (ready <= 0) continue;
    for (const pollfd& wait : waits) {
      if (wait.fd != wake_.get() && wait.revents != 0) Take(wait.fd);
    }
  }
}

void Acceptor::Take(int listener) {
  const auto refuse = [&](int connection, const char* why) {
    if (refused_ != nullptr) refused_->Increment();  // First: the peer may look when it ends.
    if (connection >= 0) close(connection);
    MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning, "a connection is refused",
                     {{"why", why}, {"connections", connections_.size()}});
  };
  sockaddr_storage address{};
  socklen_t address_size = sizeof(address);
  int connection = accept4(listener, reinterpret_cast<sockaddr*>(&address), &address_size,
                           SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (connection < 0) {
    if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM) return;
    // In the queue the connection would wake the thread again and again. The reserve descriptor
    // allows to accept and close it.
    reserve_.Close();
    connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    refuse(connection, "no descriptors are left");
    reserve_ = OpenFile("/dev/null", O_RDONLY);
    return;
  }
  if (connections_.size() >= connections_max_) Sweep();
  if (connections_.size() >= connections_max_) {
    return refuse(connection, "too many at once");
  }
  struct stat info {};
  const int on = 1;
  if (fstat(connection, &info) != 0 ||
      setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) {
    return refuse(connection, "broken");
  }
  OpenedFile own(fcntl(connection, F_DUPFD_CLOEXEC, 0));
  if (own.get() < 0) return refuse(connection, "no descriptors are left");
  std::string peer = PeerOf(address);
  // A new connection from this address means that the earlier one has ended.
  for (size_t i = connections_.size(); i-- > 0;) {
    if (connections_[i].peer == peer) Forget(i);
  }
  connections_.push_back({connection, info.st_ino, std::move(peer), std::move(own)});
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.listener_fd = listener;
  parameters.fd = connection;
  server_->HandleNewConnection(&parameters);
}

void Acceptor::Forget(size_t index) {
  Connection& connection = connections_[index];
  KnownPeers::Remove(connection.peer);
  connections_.erase(connections_.begin() + static_cast<std::ptrdiff_t>(index));
}

void Acceptor::Sweep() {
  for (size_t i = connections_.size(); i-- > 0;) {
    Connection& connection = connections_[i];
    struct stat info {};
    if (fstat(connection.descriptor, &info) != 0 || info.st_ino != connection.inode) {
      Forget(i);
    } else if (connection.own.get() >= 0 && KnownPeers::Has(connection.peer)) {
      connection.own.Close();
    } else if (connection.own.get() >= 0 &&
               BytesReceived(connection.own.get()) > unknown_bytes_max_) {
      if (ended_ != nullptr) ended_->Increment();  // First: the peer may look when it ends.
      shutdown(connection.own.get(), SHUT_RDWR);
      MENTOR_LOG_EVERY(std::chrono::seconds(10), kWarning,
                       "a connection is ended: it sent much, but no call was admitted",
                       {{"peer", connection.peer}});
      Forget(i);
    }
  }
}

}  // namespace mentor::rpc
