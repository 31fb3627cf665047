/* A small server and its clients, as docs/exploring.md explores them: plain Linux, nothing of Kairos.
 *
 * The server adds up what its clients send over a UNIX socket, a thread a connection. Each client sends ROUNDS times 1
 * and reads the total after each. At the end the total must be CLIENTS * ROUNDS. With "unlocked" as its argument the
 * server forgets the lock around the total. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLIENTS = 3, ROUNDS = 20 };

static volatile long total;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int locked = 1;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *serve(void *argument)
{
	int client = (int)(long)argument;
	long amount, sum;

	while (read(client, &amount, sizeof amount) == sizeof amount) {
		if (locked)
			pthread_mutex_lock(&lock);
		sum = total + amount;
		total = sum;
		if (locked)
			pthread_mutex_unlock(&lock);
		if (write(client, &sum, sizeof sum) != sizeof sum)
			die("write to a client");
	}
	close(client);
	return NULL;
}

static void be_client(const struct sockaddr_un *address)
{
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	long amount = 1, sum;

	if (server < 0 || connect(server, (const struct sockaddr *)address, sizeof *address))
		die("connect");
	for (int round = 0; round < ROUNDS; round++)
		if (write(server, &amount, sizeof amount) != sizeof amount || read(server, &sum, sizeof sum) != sizeof sum)
			die("talk to the server");
	exit(0);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/tmp/counter.socket" };
	pthread_t threads[CLIENTS];
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), failed = 0, status;

	locked = argc < 2 || strcmp(argv[1], "unlocked") != 0;
	unlink(address.sun_path);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, CLIENTS))
		die("listen");
	for (int i = 0; i < CLIENTS; i++)
		if (fork() == 0)
			be_client(&address);
	for (int i = 0; i < CLIENTS; i++) {
		int client = accept(listener, NULL, NULL);
		if (client < 0 || pthread_create(&threads[i], NULL, serve, (void *)(long)client))
			die("accept");
	}
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	while (wait(&status) > 0)
		failed |= status;
	printf("total %ld of %d\n", total, CLIENTS * ROUNDS);
	return failed || total != CLIENTS * ROUNDS;
}
