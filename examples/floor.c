/* What does a thread per channel per client cost when nothing else is in the way?

   The stream's thread model with as little around it as C allows: a reader thread per client, and a thread
   for each channel that the client listens to, which sends, sleeps and sends again. What this program
   needs for a message is the model's floor; what another server needs more is the price of its language.

       cc -std=c11 -O2 -Wall -Wextra -Werror -pthread examples/floor.c -o floor
       ./floor 9003
       python -m livestream.lab.swarm ws://127.0.0.1:9003 --clients 1000

   A load's server and no more: it reads JSON by looking for words, takes no fragmented message, answers on
   every path, and drops a client that it doesn't understand. RFC 6455 is the WebSocket protocol. */

#define _GNU_SOURCE /* memmem, strcasestr, signal as BSD has it */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CHANNELS = 4,
    IN_SIZE = 4096,         /* a handshake, or a frame with its header, in bytes: more is dropped */
    OUT_SIZE = 512,         /* our longest message has fewer than 250 bytes */
    STACK_SIZE = 64 * 1024, /* the usual 8 MiB are only reserved, but they end some day too */
};

enum opcode { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, NONE = -1 };

struct channel {
    const char *name, *type, *payload; /* the last as printf's format */
    struct timespec interval;
};

struct task { /* what a channel's thread is given */
    struct connection *connection;
    const struct channel *channel;
};

struct connection {
    int fd;
    atomic_int threads;      /* that use this connection; the last one frees it */
    pthread_mutex_t writing; /* guards `closed`, and keeps frames whole on the socket */
    bool closed;             /* nothing may be sent any more */
    struct task tasks[CHANNELS];
    size_t used;             /* bytes in `in`; both belong to the reader thread alone */
    unsigned char in[IN_SIZE + 1];
};

/* The first starts with every connection, without being asked. */
static const struct channel channels[CHANNELS] = {
    {"tps_updates", "tps_update",
     "{\"currentTPS\":%u,\"peakTPS\":800000,\"averageTPS\":750000,\"latency\":%u}", {1, 0}},
    {"block_updates", "block_update",
     "{\"blockHeight\":12345,\"blockTime\":1000,\"transactions\":500,\"producer\":\"validator-1\"}", {2, 0}},
    {"network_status", "network_update",
     "{\"activeNodes\":64,\"totalNodes\":100,\"networkHealth\":\"healthy\",\"avgLatency\":42}", {3, 0}},
    {"validator_metrics", "validator_update",
     "{\"totalValidators\":20,\"activeValidators\":15,\"inactiveValidators\":3,\"jailedValidators\":2}",
     {5, 0}},
};
static pthread_attr_t small_and_detached;
static int listener;

/* ---- Sending: any thread of a connection ---- */

static bool write_all(int fd, const void *data, size_t length)
{
    for (const char *rest = data; length > 0;) {
        ssize_t sent = send(fd, rest, length, 0);
        if (sent < 0)
            return false;
        rest += sent;
        length -= (size_t)sent;
    }
    return true;
}

/* One unmasked frame (RFC 6455, 5.2) of at most OUT_SIZE bytes. False once nothing can be sent. */
static bool send_frame(struct connection *c, enum opcode opcode, const void *payload, size_t length)
{
    bool longer = length > 125; /* than the header's second byte can say */
    size_t header = longer ? 4 : 2;
    unsigned char frame[4 + OUT_SIZE] = {
        (unsigned char)(0x80 | opcode), longer ? 126 : (unsigned char)length,
        (unsigned char)(length >> 8), (unsigned char)length,
    };
    memcpy(frame + header, payload, length);

    pthread_mutex_lock(&c->writing);
    bool sent = !c->closed && write_all(c->fd, frame, header + length);
    c->closed = !sent || opcode == CLOSE;
    pthread_mutex_unlock(&c->writing);
    if (!sent)
        shutdown(c->fd, SHUT_RDWR); /* wakes the reader, which ends the connection */
    return sent;
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The envelope that every message has, around a payload in JSON. */
__attribute__((format(printf, 3, 4)))
static bool send_message(struct connection *c, const char *type, const char *payload, ...)
{
    char text[OUT_SIZE];
    va_list arguments;
    int n = snprintf(text, sizeof text, "{\"type\":\"%s\",\"payload\":", type);
    va_start(arguments, payload);
    n += vsnprintf(text + n, sizeof text - (size_t)n, payload, arguments);
    va_end(arguments);
    n += snprintf(text + n, sizeof text - (size_t)n, ",\"timestamp\":%lld}", now_ms());
    return send_frame(c, TEXT, text, (size_t)n);
}

static bool send_welcome(struct connection *c)
{
    uint16_t id[8]; /* UUID version 4: all random but six bits (RFC 9562, 5.4) */
    getrandom(id, sizeof id, 0);
    return send_message(c, "connection_established",
        "{\"connectionId\":\"%04x%04x-%04x-4%03x-%04x-%04x%04x%04x\",\"timestamp\":%lld}",
        id[0], id[1], id[2], id[3] & 0xfff, (id[4] & 0x3fff) | 0x8000, id[5], id[6], id[7], now_ms());
}

/* printf passes over the numbers that a payload has no use for. */
static bool send_update(struct connection *c, const struct channel *channel)
{
    uint32_t random[2];
    getrandom(random, sizeof random, 0);
    return send_message(c, channel->type, channel->payload, 776000 + random[0] % 50000, 40 + random[1] % 20);
}

/* ---- Threads ---- */

static void leave(struct connection *c)
{
    if (atomic_fetch_sub(&c->threads, 1) > 1)
        return;
    close(c->fd);
    pthread_mutex_destroy(&c->writing);
    free(c);
}

static bool start_thread(struct connection *c, void *(*routine)(void *), void *argument)
{
    pthread_t thread;
    atomic_fetch_add(&c->threads, 1);
    if (pthread_create(&thread, &small_and_detached, routine, argument) == 0)
        return true;
    leave(c);
    return false;
}

/* One channel of one client: the whole model. It sees at its next wake-up that the client has gone. */
static void *broadcast(void *argument)
{
    struct task *task = argument;
    while (send_update(task->connection, task->channel))
        clock_nanosleep(CLOCK_MONOTONIC, 0, &task->channel->interval, NULL);
    leave(task->connection);
    return NULL;
}

/* ---- Reading: the connection's reader thread ---- */

/* Reads until so many bytes are there. False at the connection's end, or when they are too many. */
static bool fill(struct connection *c, size_t needed)
{
    while (c->used < needed) {
        ssize_t got = needed > IN_SIZE ? 0 : recv(c->fd, c->in + c->used, IN_SIZE - c->used, 0);
        if (got <= 0)
            return false;
        c->used += (size_t)got;
    }
    c->in[c->used] = 0;
    return true;
}

static void consume(struct connection *c, size_t length)
{
    c->used -= length;
    memmove(c->in, c->in + length, c->used);
}

/* The next frame's opcode; its payload, unmasked and with a 0 behind it. NONE: the connection is over, or
   the frame is illegal, a fragment, or too large. */
static enum opcode read_frame(struct connection *c, unsigned char *payload, size_t *length)
{
    const unsigned char *in = c->in;
    if (!fill(c, 2))
        return NONE;
    int opcode = in[0] & 0x0f;
    size_t n = in[1] & 0x7f, header = n == 126 ? 8 : 6; /* the mask is its last 4 bytes */
    bool control = opcode == CLOSE || opcode == PING || opcode == PONG;
    if ((in[0] & 0xf0) != 0x80 || !(in[1] & 0x80) || n == 127 || (control && n > 125)
        || !(control || opcode == TEXT || opcode == BINARY) || !fill(c, header))
        return NONE;
    if (n == 126 && (n = (size_t)in[2] << 8 | in[3]) < 126)
        return NONE;
    if (!fill(c, header + n))
        return NONE;
    for (size_t i = 0; i < n; i++)
        payload[i] = in[header + i] ^ in[header - 4 + i % 4];
    payload[n] = 0;
    *length = n;
    consume(c, header + n);
    return opcode;
}

/* Where the string begins that follows this key, its quotation mark behind; "" when there is none. */
static const char *string_of(const char *json, const char *key)
{
    const char *found = strstr(json, key);
    if (!found)
        return "";
    found += strlen(key);
    found += strspn(found, " :");
    return *found == '"' ? found + 1 : "";
}

static bool is(const char *string, const char *word)
{
    size_t length = strlen(word);
    return strncmp(string, word, length) == 0 && string[length] == '"';
}

static bool handle_message(struct connection *c, const char *text)
{
    const char *type = string_of(text, "\"type\""), *name = string_of(text, "\"channel\"");
    if (is(type, "ping"))
        return send_message(c, "pong", "{\"timestamp\":%lld}", now_ms());
    for (int i = 0; i < CHANNELS; i++)
        if (is(type, "subscribe") && is(name, channels[i].name))
            return send_message(c, "subscription_confirmed",
                                "{\"channel\":\"%s\",\"status\":\"subscribed\"}", channels[i].name)
                && start_thread(c, broadcast, &c->tasks[i]);
    return true;
}

/* False when it was the last: a Close, which is echoed, an empty one with 1000; half a code is illegal. */
static bool handle_frame(struct connection *c, enum opcode opcode, const unsigned char *payload,
                         size_t length)
{
    if (opcode == CLOSE && length != 1)
        send_frame(c, CLOSE, length ? payload : (const unsigned char *)"\x03\xe8", length ? length : 2);
    return opcode == TEXT ? handle_message(c, (const char *)payload)
         : opcode == PING ? send_frame(c, PONG, payload, length)
                          : opcode != CLOSE;
}

/* ---- The handshake (RFC 6455, 4.2.2) ---- */

enum { KEY = 24, GUID = 36, DIGEST = 20, SHA1_BITS = 8 * (KEY + GUID) }; /* sizes in bytes, but the last */

static uint32_t rotate(uint32_t word, int bits)
{
    return word << bits | word >> (32 - bits);
}

/* SHA-1 (RFC 3174) of a key and the GUID: 60 bytes, which fill two blocks with their padding. */
static void sha1(const char text[KEY + GUID], unsigned char digest[DIGEST])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char blocks[128] = {[KEY + GUID] = 0x80, [126] = SHA1_BITS >> 8, [127] = SHA1_BITS & 255};
    memcpy(blocks, text, KEY + GUID);
    for (const unsigned char *block = blocks; block < blocks + 128; block += 64) {
        uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int t = 0; t < 80; t++) {
            const unsigned char *four = block + 4 * t;
            w[t] = t < 16 ? (uint32_t)four[0] << 24 | four[1] << 16 | four[2] << 8 | four[3]
                          : rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
            uint32_t mixed = t < 20 ? ((b & c) | (~b & d)) + 0x5a827999
                           : t < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                           : t < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                    : (b ^ c ^ d) + 0xca62c1d6;
            mixed += rotate(a, 5) + e + w[t];
            e = d, d = c, c = rotate(b, 30), b = a, a = mixed;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < DIGEST; i++)
        digest[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}

/* Base64 (RFC 4648, 4) of a digest: 27 digits, the last from 2 bytes, and one `=`. */
static void base64(const unsigned char digest[DIGEST], char text[29])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 27; i++) {
        int at = i * 6 / 8, pair = digest[at] << 8 | (at + 1 < DIGEST ? digest[at + 1] : 0);
        text[i] = digits[pair >> (10 - i * 6 % 8) & 63];
    }
    memcpy(text + 27, "=", 2);
}

static bool handshake(struct connection *c)
{
    const char *end, *key;
    char text[KEY + GUID + 1] = "", answer[200];
    unsigned char digest[DIGEST];
    do
        if (!fill(c, c->used + 1))
            return false;
    while (!(end = memmem(c->in, c->used, "\r\n\r\n", 4)));
    key = strcasestr((char *)c->in, "\r\nSec-WebSocket-Key:");
    if (key)
        key += 20, key += strspn(key, " ");
    if (strncmp((char *)c->in, "GET ", 4) != 0 || !key || key + KEY > end)
        return false;
    snprintf(text, sizeof text, "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", KEY, key);
    sha1(text, digest);
    base64(digest, text);
    int length = snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", text);
    consume(c, (size_t)(end + 4 - (char *)c->in));
    return write_all(c->fd, answer, (size_t)length);
}

/* The thread of one client, from its handshake to its end. */
static void *serve(void *argument)
{
    struct connection *c = argument;
    unsigned char payload[IN_SIZE + 1];
    size_t length;
    if (handshake(c) && send_welcome(c) && start_thread(c, broadcast, &c->tasks[0])) {
        enum opcode opcode;
        do
            opcode = read_frame(c, payload, &length);
        while (opcode != NONE && handle_frame(c, opcode, payload, length));
    }
    shutdown(c->fd, SHUT_RDWR); /* first, for a thread that blocks in send keeps the lock */
    pthread_mutex_lock(&c->writing);
    c->closed = true;
    pthread_mutex_unlock(&c->writing);
    leave(c);
    return NULL;
}

/* ---- The program ---- */

static void welcome_client(int fd)
{
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->fd = fd;
    c->threads = 1; /* ours, until the reader has begun */
    pthread_mutex_init(&c->writing, NULL);
    for (int i = 0; i < CHANNELS; i++)
        c->tasks[i] = (struct task){c, &channels[i]};
    start_thread(c, serve, c);
    leave(c);
}

static void stop(int number)
{
    (void)number;
    shutdown(listener, SHUT_RDWR); /* accept fails with EINVAL from now on */
}

int main(int count, char **arguments)
{
    char *end = "";
    long port = count > 1 ? strtol(arguments[1], &end, 10) : 0;
    if (count > 2 || *end || port < 0 || port > 65535) {
        fprintf(stderr, "usage: floor [PORT], 0 or none for a free one\n");
        return 2;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) < 0
        || listen(listener, SOMAXCONN) < 0
        || getsockname(listener, (struct sockaddr *)&address, &size) < 0) {
        perror("floor: cannot listen");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* a client that has gone is an error of send */
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){files.rlim_max, files.rlim_max});
    pthread_attr_init(&small_and_detached);
    pthread_attr_setstacksize(&small_and_detached, STACK_SIZE);
    pthread_attr_setdetachstate(&small_and_detached, PTHREAD_CREATE_DETACHED);
    printf("ws://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            welcome_client(fd);
        else if (errno == EINVAL)
            return 0; /* the kernel ends the threads and closes what is open */
        else /* no descriptor left, perhaps: without a pause we'd spin */
            clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){0, 10000000}, NULL);
    }
}
