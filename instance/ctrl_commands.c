#include "instance/ctrl_commands.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vtpm/manager.h>

enum {
	CAPABILITIES = 0x17fff, /* all there are but SEND_COMMAND_HEADER */
	INIT_DELETE_VOLATILE = 1,
	LOCALITY_MAX = 4,
	BUFFER_MIN = 3072, /* room for any response, as swtpm has it */
	STATE_ENCRYPTED = 2,
	INFO_SPECIFICATION = 1,
	INFO_ATTRIBUTES = 2,
};

static TPM_RESULT
ctrl_get_capability(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)ctrl;
	(void)args;
	writer_u32(&reply->fields, CAPABILITIES);
	return TPM_SUCCESS;
}

static TPM_RESULT
ctrl_init(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)reply;
	return instance_power_on(ctrl->instance, reader_u32(args) & INIT_DELETE_VOLATILE);
}

static TPM_RESULT
ctrl_shutdown(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)args;
	(void)reply;
	instance_power_off(ctrl->instance);
	ctrl->shutdown = true;
	conn_finish(ctrl->conn);
	return TPM_SUCCESS;
}

static TPM_RESULT
ctrl_get_established(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)args;
	writer_u8(&reply->fields, instance_established(ctrl->instance));
	writer_uint(&reply->fields, 0, 3);
	return TPM_SUCCESS;
}

static TPM_RESULT
ctrl_set_locality(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	unsigned locality = reader_u8(args);

	(void)reply;
	if (locality > LOCALITY_MAX)
		return TPM_BAD_LOCALITY;
	ctrl->locality = locality;
	if (ctrl->data)
		client_set_locality(ctrl->data, locality);
	return TPM_SUCCESS;
}

static TPM_RESULT
ctrl_hash_data(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	struct reader data = reader_sized(args);

	(void)reply;
	return instance_hash_data(ctrl->instance, data.pos, data.left);
}

/* A running command saw this on the socket and ended before; one that waits will not be run. */
static TPM_RESULT
ctrl_cancel(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)args;
	(void)reply;
	if (ctrl->data)
		client_cancel(ctrl->data);
	return TPM_SUCCESS;
}

static TPM_RESULT
ctrl_reset_established(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	unsigned locality = reader_u8(args);

	(void)reply;
	return locality > LOCALITY_MAX ? TPM_BAD_LOCALITY
				       : instance_reset_established(ctrl->instance, locality);
}

/* Adds what is left of a text or blob from offset on. */
static TPM_RESULT
reply_rest(struct ctrl_reply *reply, const struct blob *whole, uint32_t offset)
{
	const uint8_t *rest = whole->len > 0 ? whole->data + offset : NULL;

	return blob_copy(&reply->body, rest, whole->len - offset) < 0 ? TPM_RESOURCES : TPM_SUCCESS;
}

static bool
is_state_kind(uint32_t type)
{
	return type >= TPM_STATE_PERMANENT && type <= TPM_STATE_SAVED;
}

/* State may change between two reads: what is read in pieces is that of the first. */
static TPM_RESULT
take_snapshot(struct channel_ctrl *ctrl, uint32_t type)
{
	if (!is_state_kind(type))
		return TPM_BAD_PARAMETER;
	ctrl->snapshot_type = type;
	return instance_get_state(ctrl->instance, (enum tpm_state)type, &ctrl->snapshot);
}

static TPM_RESULT
ctrl_get_state(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	const struct blob *whole = &ctrl->snapshot;
	TPM_RESULT result = TPM_SUCCESS;

	reader_u32(args); /* flags: nothing is encrypted here, so nothing to ask for */
	uint32_t type = reader_u32(args);
	uint32_t offset = reader_u32(args);
	if (offset == 0 || type != ctrl->snapshot_type)
		result = take_snapshot(ctrl, type);
	if (result == TPM_SUCCESS && offset > whole->len)
		result = TPM_BAD_PARAMETER;
	if (result != TPM_SUCCESS)
		return result;
	writer_u32(&reply->fields, 0);
	writer_u32(&reply->fields, (uint32_t)whole->len);
	writer_u32(&reply->fields, (uint32_t)whole->len - offset);
	return reply_rest(reply, whole, offset);
}

static TPM_RESULT
ctrl_set_state(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)reply;
	uint32_t flags = reader_u32(args);
	uint32_t type = reader_u32(args);
	struct reader state = reader_sized(args);
	if (!is_state_kind(type) || (flags & STATE_ENCRYPTED))
		return TPM_BAD_PARAMETER;
	return instance_set_state(ctrl->instance, (enum tpm_state)type, state.pos, state.left);
}

static TPM_RESULT
ctrl_get_config(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)ctrl;
	(void)args;
	writer_u32(&reply->fields, 0); /* no keys are used for the state */
	return TPM_SUCCESS;
}

static void
data_closed(void *ctx, struct client *client)
{
	struct channel_ctrl *ctrl = ctx;

	ctrl_drop_held(ctrl);
	client_free(client);
	ctrl->data = NULL;
}

int
ctrl_serve_data(struct channel_ctrl *ctrl, int fd)
{
	client_free(ctrl->data);
	ctrl->data = client_new(ctrl->base, ctrl->instance, fd, STREAM_TPM, "QEMU's data channel",
				data_closed, ctrl);
	if (!ctrl->data)
		return -ENOMEM;
	client_set_locality(ctrl->data, ctrl->locality);
	ctrl->had_data = true;
	return ctrl->config.held.in < 0 ? 0 : client_survive(ctrl->data);
}

static TPM_RESULT
ctrl_set_data_fd(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	int fd = conn_take_fd(ctrl->conn);
	socklen_t len = sizeof(int);
	int type = 0;

	(void)args;
	(void)reply;
	if (fd < 0)
		return TPM_BAD_PARAMETER;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM ||
	    evutil_make_socket_nonblocking(fd) < 0) {
		close(fd);
		return TPM_BAD_PARAMETER;
	}
	return ctrl_serve_data(ctrl, fd) < 0 ? TPM_RESOURCES : TPM_SUCCESS;
}

static uint32_t
within(uint32_t value, uint32_t least, uint32_t most)
{
	return value < least ? least : value > most ? most : value;
}

/* The size of the machine's TIS buffer, which cannot change under a running guest; 0 only asks. */
static TPM_RESULT
ctrl_set_buffer_size(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	uint32_t wish = reader_u32(args);

	if (wish != 0 && instance_in_use(ctrl->instance))
		return TPM_BAD_ORDINAL;
	if (wish != 0)
		ctrl->buffer_size = within(wish, BUFFER_MIN, CTRL_BUFFER_MAX);
	writer_u32(&reply->fields, ctrl->buffer_size);
	writer_u32(&reply->fields, BUFFER_MIN);
	writer_u32(&reply->fields, CTRL_BUFFER_MAX);
	return TPM_SUCCESS;
}

static struct json_object *
add_object(struct json_object *to, const char *key)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(to, key, object);
	return object;
}

/* The text that describes this TPM, with the zero byte that ends it. */
static int
describe(uint64_t flags, struct blob *text)
{
	struct json_object *all = json_object_new_object();
	struct json_object *part;

	if (flags & INFO_SPECIFICATION) {
		part = add_object(all, "TPMSpecification");
		json_object_object_add(part, "family", json_object_new_string("1.2"));
		json_object_object_add(part, "level", json_object_new_int(2));
		json_object_object_add(part, "revision", json_object_new_int(116));
	}
	if (flags & INFO_ATTRIBUTES) {
		part = add_object(all, "TPMAttributes");
		json_object_object_add(part, "manufacturer", json_object_new_string("id:5654504d"));
		json_object_object_add(part, "version", json_object_new_string("id:00000001"));
		json_object_object_add(part, "model", json_object_new_string("vtpmd"));
	}
	const char *json = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN);
	int rc = json ? blob_copy(text, json, strlen(json) + 1) : -ENOMEM;
	json_object_put(all);
	return rc;
}

static TPM_RESULT
ctrl_get_info(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	struct blob text = { 0 };

	(void)ctrl;
	uint64_t flags = reader_u64(args);
	uint32_t offset = reader_u32(args);
	TPM_RESULT result = describe(flags, &text) < 0 ? TPM_RESOURCES : TPM_SUCCESS;
	if (result == TPM_SUCCESS && offset > text.len)
		result = TPM_BAD_PARAMETER;
	if (result == TPM_SUCCESS) {
		writer_u32(&reply->fields, (uint32_t)text.len);
		writer_u32(&reply->fields, (uint32_t)text.len - offset);
		result = reply_rest(reply, &text, offset);
	}
	blob_clear(&text);
	return result;
}

/* Ours is locked as long as the process lives. */
static TPM_RESULT
ctrl_lock_storage(struct channel_ctrl *ctrl, struct reader *args, struct ctrl_reply *reply)
{
	(void)ctrl;
	(void)args;
	(void)reply;
	return TPM_SUCCESS;
}

static const struct ctrl_command commands[] = {
	[1] = { "GET_CAPABILITY", .run = ctrl_get_capability },
	[2] = { "INIT", .size = 4, .run = ctrl_init },
	[3] = { "SHUTDOWN", .run = ctrl_shutdown },
	[4] = { "GET_TPMESTABLISHED", .run = ctrl_get_established },
	[5] = { "SET_LOCALITY", .size = 1, .padding = 3, .run = ctrl_set_locality },
	[6] = { "HASH_START", .plain = instance_hash_start },
	[7] = { "HASH_DATA", .size = 4, .has_data = true, .run = ctrl_hash_data },
	[8] = { "HASH_END", .plain = instance_hash_end },
	[CTRL_CANCEL_TPM_CMD] = { "CANCEL_TPM_CMD", .run = ctrl_cancel },
	[10] = { "STORE_VOLATILE", .plain = instance_store_volatile },
	[11] = { "RESET_TPMESTABLISHED", .size = 1, .padding = 3, .run = ctrl_reset_established },
	[12] = { "GET_STATEBLOB", .size = 12, .run = ctrl_get_state },
	[13] = { "SET_STATEBLOB", .size = 12, .has_data = true, .run = ctrl_set_state },
	[14] = { "STOP", .plain = instance_power_off },
	[15] = { "GET_CONFIG", .run = ctrl_get_config },
	[16] = { "SET_DATAFD", .run = ctrl_set_data_fd },
	[17] = { "SET_BUFFERSIZE", .size = 4, .run = ctrl_set_buffer_size },
	[18] = { "GET_INFO", .size = 16, .run = ctrl_get_info },
	[19] = { "LOCK_STORAGE", .size = 4, .run = ctrl_lock_storage },
};

const struct ctrl_command *
ctrl_command(uint32_t number)
{
	if (number >= sizeof(commands) / sizeof(commands[0]) || !commands[number].name)
		return NULL;
	return &commands[number];
}
