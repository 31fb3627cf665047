/* An ordinary threaded C program: mutexes, condition variables, a barrier, thread-local data,
 * a detached thread, cancellation, and a child process. Prints the same on every run. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 8, ROUNDS = 2000, ITEMS = 500, CAPACITY = 4 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER, not_empty = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t detached_done;
static long counter;
static int queue[CAPACITY], queued;
static _Thread_local long own_count;

static void check(int error, const char *what) {
    if (error != 0) {
        printf("%s: %s\n", what, strerror(error));
        exit(1);
    }
}

static void *count(void *argument) {
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        counter++;
        pthread_mutex_unlock(&lock);
        own_count++;
    }
    pthread_barrier_wait(&barrier);
    return (void *)(own_count + (long)argument);
}

static void *produce(void *argument) {
    for (int i = 1; i <= ITEMS; i++) {
        pthread_mutex_lock(&lock);
        while (queued == CAPACITY)
            pthread_cond_wait(&not_full, &lock);
        queue[queued++] = i;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&lock);
    }
    return argument;
}

static void *consume(void *argument) {
    long sum = 0;
    for (int i = 0; i < ITEMS; i++) {
        pthread_mutex_lock(&lock);
        while (queued == 0)
            pthread_cond_wait(&not_empty, &lock);
        sum += queue[--queued];
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&lock);
    }
    (void)argument;
    return (void *)sum;
}

static void *detached(void *argument) {
    sem_post(argument);
    return NULL;
}

static void *sleep_for_ever(void *argument) {
    for (;;)
        pause();
    return argument;
}

static void count_together(void) {
    pthread_t threads[WORKERS];
    long sum = 0;
    check(pthread_barrier_init(&barrier, NULL, WORKERS), "barrier");
    for (long i = 0; i < WORKERS; i++)
        check(pthread_create(&threads[i], NULL, count, (void *)i), "create");
    for (int i = 0; i < WORKERS; i++) {
        void *result;
        check(pthread_join(threads[i], &result), "join");
        sum += (long)result;
    }
    printf("counted %ld, together %ld, own %ld\n", counter, sum, own_count);
}

static void pass_items(void) {
    pthread_t producer, consumer;
    void *sum;
    check(pthread_create(&producer, NULL, produce, NULL), "producer");
    check(pthread_create(&consumer, NULL, consume, NULL), "consumer");
    check(pthread_join(producer, NULL), "join producer");
    check(pthread_join(consumer, &sum), "join consumer");
    printf("consumed %ld\n", (long)sum);
}

static void end_threads(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    void *result;
    sem_init(&detached_done, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    check(pthread_create(&thread, &attributes, detached, &detached_done), "detached");
    while (sem_wait(&detached_done) != 0 && errno == EINTR) {}
    check(pthread_create(&thread, NULL, sleep_for_ever, NULL), "sleeper");
    check(pthread_cancel(thread), "cancel");
    check(pthread_join(thread, &result), "join cancelled");
    printf("cancelled %s\n", result == PTHREAD_CANCELED ? "yes" : "no");
}

static void wait_with_a_deadline(void) {
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_nsec += 20 * 1000 * 1000;
    if (deadline.tv_nsec >= 1000000000) {
        deadline.tv_nsec -= 1000000000;
        deadline.tv_sec++;
    }
    pthread_mutex_lock(&lock);
    int error = pthread_cond_timedwait(&not_empty, &lock, &deadline);
    pthread_mutex_unlock(&lock);
    printf("timed wait: %s\n", strerror(error));
}

static void fork_beside_threads(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("child speaks\n");
        fflush(stdout);
        _exit(5);
    }
    int status;
    waitpid(child, &status, 0);
    printf("child's status %d\n", WEXITSTATUS(status));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    count_together();
    pass_items();
    end_threads();
    wait_with_a_deadline();
    fork_beside_threads();
    return 42;
}
