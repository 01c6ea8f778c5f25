#include "tests/unit/disk.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vtpm/file.h>

#include "tests/unit/folder.h"

enum {
	CALLS_MAX = 1024,
	FILES_MAX = 256,
	NAME_SIZE = 64,
	FILE_SIZE_MAX = 1024 * 1024,
	SECTOR = 512,
};

enum kind {
	CALL_CREATE,
	CALL_WRITE,
	CALL_TRUNCATE,
	CALL_SYNC,
	CALL_SYNC_NAMES,
	CALL_RENAME,
	CALL_UNLINK
};

/* A call that was noted. */
struct call {
	enum kind kind;
	unsigned inode;
	char name[NAME_SIZE];
	char to[NAME_SIZE];
	off_t offset;
	uint8_t *data;
	size_t len;
	bool marked; /* disk_mark was called before it */
};

/* A file of a modelled disk: inodes and names live apart, as on a real one. */
struct file {
	unsigned inode;
	uint8_t *data;
	size_t len;
	bool has_name;
	char name[NAME_SIZE];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool watching;
static struct stat watched;
static char watched_path[FOLDER_NAME_MAX];
static struct call calls[CALLS_MAX];
static unsigned call_count;
static bool marked;
static struct file first[FILES_MAX]; /* when the watch began */
static unsigned first_count;

/* A real inode's number is used again after its file's end: here every file has one of its own. */
static ino_t inodes[FILES_MAX];
static unsigned inode_count;

static unsigned boot;

static int fail_at = -1;
static int fail_error;
static bool fail_lasting;
static unsigned fail_seen;
static bool fail_done;

static unsigned
new_inode(ino_t real)
{
	ck_assert_uint_lt(inode_count, FILES_MAX);
	inodes[inode_count] = real;
	return inode_count++;
}

static unsigned
inode_of(ino_t real)
{
	for (unsigned i = inode_count; i-- > 0;) {
		if (inodes[i] == real)
			return i;
	}
	return new_inode(real);
}

/* Whether the calling thread's next call is to fail; sets errno. */
static bool
must_fail(void)
{
	bool fail = false;

	pthread_mutex_lock(&lock);
	if (fail_at >= 0) {
		unsigned n = fail_seen++;

		fail = n == (unsigned)fail_at || (fail_lasting && n > (unsigned)fail_at);
		fail_done |= fail;
	}
	pthread_mutex_unlock(&lock);
	if (fail)
		errno = fail_error;
	return fail;
}

static bool
in_watched(int dirfd)
{
	struct stat st;

	return watching && fstat(dirfd, &st) == 0 && st.st_dev == watched.st_dev &&
	       st.st_ino == watched.st_ino;
}

/* The name in the watched folder that a path means, or NULL. */
static const char *
watched_name(int dirfd, const char *path)
{
	size_t len = strlen(watched_path);

	if (!watching)
		return NULL;
	if (dirfd != AT_FDCWD)
		return in_watched(dirfd) && strcmp(path, ".") != 0 ? path : NULL;
	return strncmp(path, watched_path, len) == 0 && path[len] == '/' && path[len + 1] != '\0'
		   ? path + len + 1
		   : NULL;
}

static void
note(struct call call, const char *name, const char *to, const void *data)
{
	pthread_mutex_lock(&lock);
	ck_assert_uint_lt(call_count, CALLS_MAX);
	if (name)
		snprintf(call.name, sizeof(call.name), "%s", name);
	if (to)
		snprintf(call.to, sizeof(call.to), "%s", to);
	if (data) {
		call.data = malloc(call.len);
		memcpy(call.data, data, call.len);
	}
	call.marked = marked;
	calls[call_count++] = call;
	pthread_mutex_unlock(&lock);
}

/* Whether fd is a file that was made or opened in the watched folder. */
static bool
watched_file(int fd, struct stat *st)
{
	char link[64];
	char path[PATH_MAX];

	if (!watching || fstat(fd, st) < 0 || st->st_dev != watched.st_dev || !S_ISREG(st->st_mode))
		return false;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t len = readlink(link, path, sizeof(path) - 1);
	if (len < 0)
		return false;
	path[len] = '\0';
	return watched_name(AT_FDCWD, path) != NULL;
}

static int
open_boot_id(void)
{
	int fd = (int)syscall(SYS_memfd_create, "boot_id", 0);

	ck_assert_int_ge(fd, 0);
	dprintf(fd, "boot %u\n", boot);
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static int
do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	if (boot > 0 && strcmp(path, "/proc/sys/kernel/random/boot_id") == 0)
		return open_boot_id();
	const char *name = watched_name(dirfd, path);
	bool writing = (flags & O_ACCMODE) != O_RDONLY;
	struct stat st;
	bool existed = name && fstatat(dirfd, path, &st, 0) == 0;

	if (name && writing && must_fail())
		return -1;
	int fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
	if (fd < 0 || !name || !writing || fstat(fd, &st) < 0)
		return fd;
	if (!existed)
		note((struct call) { .kind = CALL_CREATE, .inode = new_inode(st.st_ino) }, name,
		     NULL, NULL);
	else if (flags & O_TRUNC)
		note((struct call) { .kind = CALL_TRUNCATE, .inode = inode_of(st.st_ino) }, NULL,
		     NULL, NULL);
	return fd;
}

/* The C library's functions, as the program under test sees them. */

int
open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return do_open(AT_FDCWD, path, flags, mode);
}

int
openat(int dirfd, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
	va_end(args);
	return do_open(dirfd, path, flags, mode);
}

static ssize_t
do_write(int fd, const void *data, size_t len, off_t offset, bool positioned)
{
	struct stat st;
	bool watched_one = watched_file(fd, &st);
	bool fail = watched_one && must_fail();

	if (fail && fail_error != ENOSPC)
		return -1;
	if (fail)
		len /= 2; /* a disk that runs full takes what still fits */
	if (!positioned && watched_one)
		offset = lseek(fd, 0, SEEK_CUR);
	ssize_t n = positioned ? syscall(SYS_pwrite64, fd, data, len, offset)
			       : syscall(SYS_write, fd, data, len);
	if (n > 0 && watched_one)
		note((struct call) { .kind = CALL_WRITE,
				     .inode = inode_of(st.st_ino),
				     .offset = offset,
				     .len = (size_t)n },
		     NULL, NULL, data);
	if (fail && n == 0) {
		errno = fail_error;
		return -1;
	}
	return n;
}

ssize_t
write(int fd, const void *data, size_t len)
{
	return do_write(fd, data, len, 0, false);
}

ssize_t
pwrite(int fd, const void *data, size_t len, off_t offset)
{
	return do_write(fd, data, len, offset, true);
}

int
ftruncate(int fd, off_t len)
{
	struct stat st;
	bool watched_one = watched_file(fd, &st);

	if (watched_one && must_fail())
		return -1;
	int rc = (int)syscall(SYS_ftruncate, fd, len);
	if (rc == 0 && watched_one)
		note((struct call) { .kind = CALL_TRUNCATE,
				     .inode = inode_of(st.st_ino),
				     .offset = len },
		     NULL, NULL, NULL);
	return rc;
}

static int
do_sync(int fd, long number)
{
	struct stat st;
	bool file = watched_file(fd, &st);
	bool folder = !file && in_watched(fd);

	if ((file || folder) && must_fail())
		return -1;
	int rc = (int)syscall(number, fd);
	if (rc == 0 && file)
		note((struct call) { .kind = CALL_SYNC, .inode = inode_of(st.st_ino) }, NULL, NULL,
		     NULL);
	if (rc == 0 && folder)
		note((struct call) { .kind = CALL_SYNC_NAMES }, NULL, NULL, NULL);
	return rc;
}

int
fsync(int fd)
{
	return do_sync(fd, SYS_fsync);
}

int
fdatasync(int fd)
{
	return do_sync(fd, SYS_fdatasync);
}

int
renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	const char *name = watched_name(from_dir, from);
	const char *to_name = watched_name(to_dir, to);

	if (name && to_name && must_fail())
		return -1;
	int rc = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
	if (rc == 0 && name && to_name)
		note((struct call) { .kind = CALL_RENAME }, name, to_name, NULL);
	return rc;
}

int
rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int
unlinkat(int dirfd, const char *path, int flags)
{
	const char *name = watched_name(dirfd, path);

	if (name && must_fail())
		return -1;
	int rc = (int)syscall(SYS_unlinkat, dirfd, path, flags);
	if (rc == 0 && name)
		note((struct call) { .kind = CALL_UNLINK }, name, NULL, NULL);
	return rc;
}

int
unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

/* The watch. */

static void
forget(void)
{
	for (unsigned i = 0; i < call_count; i++)
		free(calls[i].data);
	for (unsigned i = 0; i < first_count; i++)
		free(first[i].data);
	call_count = 0;
	first_count = 0;
	inode_count = 0;
	marked = false;
}

void
disk_watch(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	struct stat st;

	forget();
	ck_assert_ptr_nonnull(dir);
	ck_assert_int_eq(stat(folder, &watched), 0);
	snprintf(watched_path, sizeof(watched_path), "%s", folder);
	while ((entry = readdir(dir))) {
		struct file *file = &first[first_count];
		const char *path = folder_path(folder, entry->d_name);

		if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		ck_assert_int_eq(file_read(path, FILE_SIZE_MAX, &file->data, &file->len), 0);
		file->inode = new_inode(st.st_ino);
		file->has_name = true;
		snprintf(file->name, sizeof(file->name), "%.63s", entry->d_name);
		first_count++;
	}
	closedir(dir);
	watching = true;
}

void
disk_unwatch(void)
{
	watching = false;
}

void
disk_boot(unsigned n)
{
	boot = n;
}

void
disk_mark(void)
{
	pthread_mutex_lock(&lock);
	marked = true;
	pthread_mutex_unlock(&lock);
}

unsigned
disk_calls(void)
{
	return call_count;
}

void
disk_fail(int n, int error, bool lasting)
{
	pthread_mutex_lock(&lock);
	fail_at = n;
	fail_error = error;
	fail_lasting = lasting;
	fail_seen = 0;
	fail_done = false;
	pthread_mutex_unlock(&lock);
}

bool
disk_failed(void)
{
	return fail_done;
}

/* The model. A name that is not at any file has no entry; an inode may be without a name. */

struct model {
	struct file files[FILES_MAX];
	unsigned count;
};

static struct file *
by_inode(struct model *model, unsigned inode)
{
	for (unsigned i = 0; i < model->count; i++) {
		if (model->files[i].inode == inode)
			return &model->files[i];
	}
	return NULL;
}

static struct file *
by_name(struct model *model, const char *name)
{
	for (unsigned i = 0; i < model->count; i++) {
		if (model->files[i].has_name && strcmp(model->files[i].name, name) == 0)
			return &model->files[i];
	}
	return NULL;
}

static struct file *
add_inode(struct model *model, unsigned inode)
{
	ck_assert_uint_lt(model->count, FILES_MAX);
	struct file *file = &model->files[model->count++];

	*file = (struct file) { .inode = inode };
	return file;
}

static void
resize(struct file *file, size_t len)
{
	file->data = realloc(file->data, len + 1);
	if (len > file->len)
		memset(file->data + file->len, 0, len - file->len);
	file->len = len;
}

/* A write of which only some sectors arrive. */
static void
apply_write(struct file *file, const struct call *call, bool torn)
{
	size_t at = (size_t)call->offset;

	if (at + call->len > file->len)
		resize(file, at + call->len);
	for (size_t i = 0; i < call->len; i += SECTOR) {
		size_t len = call->len - i < SECTOR ? call->len - i : SECTOR;

		if (!torn || rand() % 2)
			memcpy(file->data + at + i, call->data + i, len);
	}
}

static void
apply_data(struct model *model, const struct call *call, bool torn)
{
	struct file *file = by_inode(model, call->inode);

	if (!file)
		return;
	if (call->kind == CALL_WRITE)
		apply_write(file, call, torn);
	else if (call->kind == CALL_TRUNCATE)
		resize(file, (size_t)call->offset);
}

static void
set_name(struct model *model, struct file *file, const char *name)
{
	struct file *old = by_name(model, name);

	if (old)
		old->has_name = false;
	file->has_name = true;
	snprintf(file->name, sizeof(file->name), "%s", name);
}

static void
apply_name(struct model *model, const struct call *call)
{
	struct file *file =
	    call->kind == CALL_CREATE ? by_inode(model, call->inode) : by_name(model, call->name);

	if (!file)
		return;
	if (call->kind == CALL_CREATE)
		set_name(model, file, call->name);
	else if (call->kind == CALL_RENAME)
		set_name(model, file, call->to);
	else
		file->has_name = false;
}

static bool
is_name_call(const struct call *call)
{
	return call->kind == CALL_CREATE || call->kind == CALL_RENAME || call->kind == CALL_UNLINK;
}

/* Whether what call number i did was flushed before call number n. */
static bool
is_flushed(unsigned i, unsigned n)
{
	for (unsigned j = i + 1; j < n; j++) {
		if (is_name_call(&calls[i])
			? calls[j].kind == CALL_SYNC_NAMES
			: calls[j].kind == CALL_SYNC && calls[j].inode == calls[i].inode)
			return true;
	}
	return false;
}

static void
model_write(struct model *model, const char *to)
{
	for (unsigned i = 0; i < model->count; i++) {
		struct file *file = &model->files[i];

		if (file->has_name) {
			int fd =
			    open(folder_path(to, file->name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

			ck_assert_int_ge(fd, 0);
			ck_assert_int_eq(write(fd, file->data, file->len), (ssize_t)file->len);
			close(fd);
		}
		free(file->data);
	}
}

bool
disk_image(const char *to, unsigned n, unsigned chance)
{
	static struct model model;

	ck_assert(!watching);
	folder_empty(to);
	model.count = first_count;
	for (unsigned i = 0; i < first_count; i++) {
		model.files[i] = first[i];
		model.files[i].data = NULL;
		model.files[i].len = 0;
		resize(&model.files[i], first[i].len);
		memcpy(model.files[i].data, first[i].data, first[i].len);
	}
	srand(chance);
	for (unsigned i = 0; i < n; i++) {
		const struct call *call = &calls[i];
		bool flushed = is_flushed(i, n);
		bool there = flushed || chance == 0 || (chance > 1 && rand() % 2);
		bool torn = !flushed && chance > 1 && rand() % 2;

		if (call->kind == CALL_CREATE)
			add_inode(&model, call->inode);
		if (there && is_name_call(call))
			apply_name(&model, call);
		else if (there)
			apply_data(&model, call, torn);
	}
	model_write(&model, to);
	return n < call_count ? calls[n].marked : marked;
}
