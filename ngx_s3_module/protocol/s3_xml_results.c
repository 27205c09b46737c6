#include "s3_xml_results.h"

#include "s3_http.h"

#pragma GCC visibility push(hidden)


static void
s3_xml_owner(s3_xml_t *x, const char *name, const s3_owner_t *o)
{
    if (o == NULL) {
        return;
    }

    s3_xml_open(x, name);
    s3_xml_str(x, "ID", o->id);
    s3_xml_str_opt(x, "DisplayName", o->name);
    s3_xml_close(x, name);
}


/* <ChecksumCRC32>...</ChecksumCRC32>, then ChecksumType when there is one. */

static void
s3_xml_checksum(s3_xml_t *x, const s3_xml_checksum_t *c)
{
    char name[32];
    s3_str_t e;

    if (c == NULL || c->alg == S3_CHECKSUM_NONE) {
        return;
    }

    e = s3_checksum_info(c->alg)->element;

    if (e.len == 0 || e.len >= sizeof(name)) {
        return;
    }

    memcpy(name, e.data, e.len);
    name[e.len] = '\0';

    s3_xml_str(x, name, c->value);

    if (c->type != S3_CHECKSUM_TYPE_NONE) {
        s3_xml_cstr(x, "ChecksumType",
                    c->type == S3_CHECKSUM_COMPOSITE ? "COMPOSITE"
                                                     : "FULL_OBJECT");
    }
}


static void
s3_xml_checksum_names(s3_xml_t *x, s3_checksum_alg_t alg,
                      s3_checksum_type_t type)
{
    if (alg == S3_CHECKSUM_NONE) {
        return;
    }

    s3_xml_str(x, "ChecksumAlgorithm", s3_checksum_info(alg)->name);

    if (type != S3_CHECKSUM_TYPE_NONE) {
        s3_xml_cstr(x, "ChecksumType",
                    type == S3_CHECKSUM_COMPOSITE ? "COMPOSITE"
                                                  : "FULL_OBJECT");
    }
}


static void
s3_xml_class(s3_xml_t *x, s3_str_t storage_class)
{
    s3_xml_str(x, "StorageClass",
               storage_class.data != NULL ? storage_class
                                          : s3_string("STANDARD"));
}


void
s3_xml_error(s3_xml_t *x, const s3_fault_t *f, s3_str_t resource,
             s3_str_t request_id, s3_str_t host_id)
{
    unsigned int i;
    const s3_fault_extra_t *e;

    s3_xml_lit(x, S3_XML_DECL "<Error>");
    s3_xml_cstr(x, "Code", s3_err_code(f->err));
    s3_xml_cstr(x, "Message", s3_fault_message(f));

    for (i = 0; i < f->nextra && i < S3_FAULT_EXTRAS; i++) {
        e = &f->extra[i];

        if (e->value.data == NULL) {
            s3_xml_u64(x, e->name, e->number);

        } else {
            s3_xml_str(x, e->name, e->value);
        }
    }

    s3_xml_str_opt(x, "Resource", resource);
    s3_xml_str_opt(x, "RequestId", request_id);
    s3_xml_str_opt(x, "HostId", host_id);
    s3_xml_lit(x, "</Error>");
}


void
s3_list_init(s3_xml_list_t *l, int url, size_t limit)
{
    memset(l, 0, sizeof(*l));
    s3_xml_init(&l->items, limit);
    s3_xml_init(&l->prefixes, limit);
    l->items.url = url;
    l->prefixes.url = url;
}


void
s3_list_free(s3_xml_list_t *l)
{
    s3_xml_free(&l->items);
    s3_xml_free(&l->prefixes);
}


size_t
s3_list_size(const s3_xml_list_t *l)
{
    return l->items.len + l->prefixes.len;
}


/* The gathered entries, and what went wrong while they were. */

static void
s3_list_emit(s3_xml_t *x, const s3_xml_t *part)
{
    if (x->rc == S3_OK && part->rc != S3_OK) {
        x->rc = part->rc;
    }

    s3_xml_raw(x, s3_str(part->data, part->len));
}


/*
 * The pieces of an entry that vary little in length, in one go: pages of a
 * thousand entries are made of them.
 */

#define s3_xml_put(p, s) (memcpy((p), (s), sizeof(s) - 1), (p) += sizeof(s) - 1)


static void
s3_xml_modified(s3_xml_t *x, const s3_xml_object_t *o)
{
    uint8_t *p = s3_xml_room(x, sizeof("<LastModified></LastModified><ETag>"
                                       "&quot;")
                                    + S3_ISO_TIME_LEN);

    if (p == NULL) {
        return;
    }

    s3_xml_put(p, "<LastModified>");
    s3_iso_time(o->mtime, (char *) p);
    p += S3_ISO_TIME_LEN;
    s3_xml_put(p, "</LastModified><ETag>&quot;");

    x->len = (size_t) (p - x->data);
}


static void
s3_xml_sized(s3_xml_t *x, const s3_xml_object_t *o)
{
    uint8_t *p = s3_xml_room(x, sizeof("<Size></Size>") + S3_XML_DIGITS);

    if (p == NULL) {
        return;
    }

    s3_xml_put(p, "<Size>");
    p = s3_xml_digits(p, o->size);
    s3_xml_put(p, "</Size>");

    x->len = (size_t) (p - x->data);
}


/* What <Contents> and <Version> have in common behind the key. */

static void
s3_xml_facts(s3_xml_t *x, const s3_xml_object_t *o)
{
    s3_xml_modified(x, o);
    s3_xml_text(x, o->etag);
    s3_xml_lit(x, "&quot;</ETag>");
    s3_xml_checksum_names(x, o->checksum_alg, o->checksum_type);
    s3_xml_sized(x, o);
    s3_xml_owner(x, "Owner", o->owner);
    s3_xml_class(x, o->storage_class);
}


void
s3_list_object(s3_xml_list_t *l, const s3_xml_object_t *o)
{
    s3_xml_t *x = &l->items;

    s3_xml_lit(x, "<Contents>");
    s3_xml_key(x, "Key", o->key);
    s3_xml_facts(x, o);
    s3_xml_lit(x, "</Contents>");
    l->count++;
}


void
s3_list_prefix(s3_xml_list_t *l, s3_str_t prefix)
{
    s3_xml_open(&l->prefixes, "CommonPrefixes");
    s3_xml_key(&l->prefixes, "Prefix", prefix);
    s3_xml_close(&l->prefixes, "CommonPrefixes");
    l->count++;
}


void
s3_list_version(s3_xml_list_t *l, const s3_xml_object_t *o)
{
    s3_xml_t *x = &l->items;

    s3_xml_open(x, "Version");
    s3_xml_key(x, "Key", o->key);
    s3_xml_cstr(x, "VersionId", "null");
    s3_xml_bool(x, "IsLatest", 1);
    s3_xml_facts(x, o);
    s3_xml_close(x, "Version");
    l->count++;
}


void
s3_list_upload(s3_xml_list_t *l, const s3_xml_upload_t *u)
{
    s3_xml_t *x = &l->items;

    s3_xml_open(x, "Upload");
    s3_xml_key(x, "Key", u->key);
    s3_xml_str(x, "UploadId", u->upload_id);
    s3_xml_owner(x, "Initiator", u->initiator);
    s3_xml_owner(x, "Owner", u->owner);
    s3_xml_class(x, u->storage_class);
    s3_xml_time(x, "Initiated", u->initiated);
    s3_xml_checksum_names(x, u->checksum_alg, u->checksum_type);
    s3_xml_close(x, "Upload");
    l->count++;
}


void
s3_list_part(s3_xml_list_t *l, const s3_xml_part_t *p)
{
    s3_xml_t *x = &l->items;

    s3_xml_open(x, "Part");
    s3_xml_u64(x, "PartNumber", p->number);
    s3_xml_time(x, "LastModified", p->mtime);
    s3_xml_etag(x, "ETag", p->etag);
    s3_xml_u64(x, "Size", p->size);
    s3_xml_checksum(x, &p->checksum);
    s3_xml_close(x, "Part");
    l->count++;
}


void
s3_list_attr_part(s3_xml_list_t *l, const s3_xml_part_t *p)
{
    s3_xml_t *x = &l->items;

    s3_xml_open(x, "Part");
    s3_xml_checksum(x, &p->checksum);
    s3_xml_u64(x, "PartNumber", p->number);
    s3_xml_u64(x, "Size", p->size);
    s3_xml_close(x, "Part");
    l->count++;
}


void
s3_list_bucket(s3_xml_list_t *l, const s3_xml_bucket_t *b)
{
    s3_xml_t *x = &l->items;

    s3_xml_open(x, "Bucket");
    s3_xml_str(x, "Name", b->name);
    s3_xml_time(x, "CreationDate", b->created);
    s3_xml_str_opt(x, "BucketRegion", b->region);
    s3_xml_close(x, "Bucket");
    l->count++;
}


/* AWS takes an empty delimiter for none, and does not echo it. */

static void
s3_list_delimiter(s3_xml_t *x, const s3_list_head_t *h)
{
    if (h->delimiter.len != 0) {
        s3_xml_key(x, "Delimiter", h->delimiter);
    }
}


static void
s3_list_encoding(s3_xml_t *x, const s3_xml_list_t *l)
{
    x->url = l->items.url;

    if (x->url) {
        s3_xml_cstr(x, "EncodingType", "url");
    }
}


void
s3_list_objects_v1(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h)
{
    x->url = l->items.url;

    s3_xml_root(x, "ListBucketResult");
    s3_xml_str(x, "Name", h->bucket);
    s3_xml_key(x, "Prefix", h->prefix);
    s3_xml_key(x, "Marker", h->marker);
    s3_xml_key_opt(x, "NextMarker", h->next_marker);
    s3_xml_u64(x, "MaxKeys", h->max);
    s3_list_delimiter(x, h);
    s3_list_encoding(x, l);
    s3_xml_bool(x, "IsTruncated", h->truncated);
    s3_list_emit(x, &l->items);
    s3_list_emit(x, &l->prefixes);
    s3_xml_close(x, "ListBucketResult");
}


void
s3_list_objects_v2(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h)
{
    x->url = l->items.url;

    s3_xml_root(x, "ListBucketResult");
    s3_xml_str(x, "Name", h->bucket);
    s3_xml_key(x, "Prefix", h->prefix);
    s3_xml_key_opt(x, "StartAfter", h->start_after);
    s3_xml_str_opt(x, "ContinuationToken", h->token);
    s3_xml_str_opt(x, "NextContinuationToken", h->next_token);
    s3_xml_u64(x, "KeyCount", l->count);
    s3_xml_u64(x, "MaxKeys", h->max);
    s3_list_delimiter(x, h);
    s3_list_encoding(x, l);
    s3_xml_bool(x, "IsTruncated", h->truncated);
    s3_list_emit(x, &l->items);
    s3_list_emit(x, &l->prefixes);
    s3_xml_close(x, "ListBucketResult");
}


void
s3_list_versions(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h)
{
    x->url = l->items.url;

    s3_xml_root(x, "ListVersionsResult");
    s3_xml_str(x, "Name", h->bucket);
    s3_xml_key(x, "Prefix", h->prefix);
    s3_xml_key(x, "KeyMarker", h->marker);
    s3_xml_str(x, "VersionIdMarker", h->version_marker);
    s3_xml_key_opt(x, "NextKeyMarker", h->next_marker);
    s3_xml_str_opt(x, "NextVersionIdMarker", h->next_version_marker);
    s3_xml_u64(x, "MaxKeys", h->max);
    s3_list_delimiter(x, h);
    s3_list_encoding(x, l);
    s3_xml_bool(x, "IsTruncated", h->truncated);
    s3_list_emit(x, &l->items);
    s3_list_emit(x, &l->prefixes);
    s3_xml_close(x, "ListVersionsResult");
}


void
s3_list_uploads(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h)
{
    x->url = l->items.url;

    s3_xml_root(x, "ListMultipartUploadsResult");
    s3_xml_str(x, "Bucket", h->bucket);
    s3_xml_key(x, "KeyMarker", h->marker);
    s3_xml_str(x, "UploadIdMarker", h->upload_marker);
    s3_xml_key_opt(x, "NextKeyMarker", h->next_marker);
    s3_xml_str_opt(x, "NextUploadIdMarker", h->next_upload_marker);
    s3_list_delimiter(x, h);
    s3_xml_key(x, "Prefix", h->prefix);
    s3_list_encoding(x, l);
    s3_xml_u64(x, "MaxUploads", h->max);
    s3_xml_bool(x, "IsTruncated", h->truncated);
    s3_list_emit(x, &l->items);
    s3_list_emit(x, &l->prefixes);
    s3_xml_close(x, "ListMultipartUploadsResult");
}


void
s3_list_parts(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h)
{
    s3_xml_root(x, "ListPartsResult");
    s3_xml_str(x, "Bucket", h->bucket);
    s3_xml_str(x, "Key", h->key);
    s3_xml_str(x, "UploadId", h->upload_id);
    s3_xml_owner(x, "Initiator", h->initiator);
    s3_xml_owner(x, "Owner", h->owner);
    s3_xml_class(x, h->storage_class);
    s3_xml_u64(x, "PartNumberMarker", h->part_marker);
    s3_xml_u64(x, "NextPartNumberMarker", h->next_part_marker);
    s3_xml_u64(x, "MaxParts", h->max);
    s3_xml_bool(x, "IsTruncated", h->truncated);
    s3_xml_checksum_names(x, h->checksum_alg, h->checksum_type);
    s3_list_emit(x, &l->items);
    s3_xml_close(x, "ListPartsResult");
}


void
s3_list_buckets(s3_xml_t *x, const s3_xml_list_t *l, const s3_list_head_t *h)
{
    s3_xml_root(x, "ListAllMyBucketsResult");
    s3_xml_owner(x, "Owner", h->owner);

    if (l->items.len == 0 && l->items.rc == S3_OK) {
        s3_xml_empty(x, "Buckets");

    } else {
        s3_xml_open(x, "Buckets");
        s3_list_emit(x, &l->items);
        s3_xml_close(x, "Buckets");
    }

    s3_xml_str_opt(x, "Prefix", h->prefix);
    s3_xml_str_opt(x, "ContinuationToken", h->next_token);
    s3_xml_close(x, "ListAllMyBucketsResult");
}


void
s3_xml_location(s3_xml_t *x, s3_str_t region)
{
    s3_xml_lit(x, S3_XML_DECL "<LocationConstraint xmlns=\"" S3_XML_NS "\"");

    if (region.len == 0 || s3_str_eq(region, s3_string("us-east-1"))) {
        s3_xml_lit(x, "/>");
        return;
    }

    s3_xml_lit(x, ">");
    s3_xml_text(x, region);
    s3_xml_close(x, "LocationConstraint");
}


static void
s3_xml_copied(s3_xml_t *x, const char *root, s3_str_t etag, int64_t mtime,
              const s3_xml_checksum_t *c)
{
    s3_xml_root(x, root);
    s3_xml_time(x, "LastModified", mtime);
    s3_xml_etag(x, "ETag", etag);
    s3_xml_checksum(x, c);
    s3_xml_close(x, root);
}


void
s3_xml_copy_object(s3_xml_t *x, s3_str_t etag, int64_t mtime,
                   const s3_xml_checksum_t *c)
{
    s3_xml_copied(x, "CopyObjectResult", etag, mtime, c);
}


void
s3_xml_copy_part(s3_xml_t *x, s3_str_t etag, int64_t mtime,
                 const s3_xml_checksum_t *c)
{
    s3_xml_copied(x, "CopyPartResult", etag, mtime, c);
}


void
s3_xml_initiate(s3_xml_t *x, s3_str_t bucket, s3_str_t key, s3_str_t upload_id)
{
    s3_xml_root(x, "InitiateMultipartUploadResult");
    s3_xml_str(x, "Bucket", bucket);
    s3_xml_str(x, "Key", key);
    s3_xml_str(x, "UploadId", upload_id);
    s3_xml_close(x, "InitiateMultipartUploadResult");
}


void
s3_xml_complete(s3_xml_t *x, s3_str_t location, s3_str_t bucket, s3_str_t key,
                s3_str_t etag, const s3_xml_checksum_t *c)
{
    s3_xml_root(x, "CompleteMultipartUploadResult");
    s3_xml_str(x, "Location", location);
    s3_xml_str(x, "Bucket", bucket);
    s3_xml_str(x, "Key", key);
    s3_xml_etag(x, "ETag", etag);
    s3_xml_checksum(x, c);
    s3_xml_close(x, "CompleteMultipartUploadResult");
}


void
s3_xml_tagging_begin(s3_xml_t *x)
{
    s3_xml_root(x, "Tagging");
    s3_xml_open(x, "TagSet");
}


void
s3_xml_tagging_tag(s3_xml_t *x, s3_str_t key, s3_str_t value)
{
    s3_xml_open(x, "Tag");
    s3_xml_str(x, "Key", key);
    s3_xml_str(x, "Value", value);
    s3_xml_close(x, "Tag");
}


void
s3_xml_tagging_end(s3_xml_t *x)
{
    s3_xml_close(x, "TagSet");
    s3_xml_close(x, "Tagging");
}


void
s3_xml_tagging(s3_xml_t *x, const s3_tag_t *tags, size_t n)
{
    size_t i;

    s3_xml_tagging_begin(x);

    for (i = 0; i < n; i++) {
        s3_xml_tagging_tag(x, tags[i].key, tags[i].value);
    }

    s3_xml_tagging_end(x);
}


void
s3_xml_acl(s3_xml_t *x, const s3_owner_t *owner)
{
    s3_xml_root(x, "AccessControlPolicy");
    s3_xml_owner(x, "Owner", owner);
    s3_xml_lit(x, "<AccessControlList><Grant><Grantee "
                  "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                  "xsi:type=\"CanonicalUser\">");

    if (owner != NULL) {
        s3_xml_str(x, "ID", owner->id);
        s3_xml_str_opt(x, "DisplayName", owner->name);
    }

    s3_xml_lit(x, "</Grantee><Permission>FULL_CONTROL</Permission></Grant>"
                  "</AccessControlList>");
    s3_xml_close(x, "AccessControlPolicy");
}


void
s3_xml_delete_begin(s3_xml_t *x)
{
    s3_xml_root(x, "DeleteResult");
}


void
s3_xml_deleted(s3_xml_t *x, s3_str_t key, s3_str_t version_id)
{
    s3_xml_open(x, "Deleted");
    s3_xml_str(x, "Key", key);
    s3_xml_str_opt(x, "VersionId", version_id);
    s3_xml_close(x, "Deleted");
}


void
s3_xml_delete_error(s3_xml_t *x, s3_str_t key, s3_str_t version_id,
                    const s3_fault_t *f)
{
    s3_xml_open(x, "Error");
    s3_xml_str(x, "Key", key);
    s3_xml_str_opt(x, "VersionId", version_id);
    s3_xml_cstr(x, "Code", s3_err_code(f->err));
    s3_xml_cstr(x, "Message", s3_fault_message(f));
    s3_xml_close(x, "Error");
}


void
s3_xml_delete_end(s3_xml_t *x)
{
    s3_xml_close(x, "DeleteResult");
}


void
s3_xml_attributes(s3_xml_t *x, const s3_xml_attributes_t *a)
{
    s3_xml_root(x, "GetObjectAttributesResponse");

    if (a->mask & S3_ATTR_ETAG) {
        s3_xml_str(x, "ETag", a->etag);
    }

    if ((a->mask & S3_ATTR_CHECKSUM) && a->checksum.alg != S3_CHECKSUM_NONE) {
        s3_xml_open(x, "Checksum");
        s3_xml_checksum(x, &a->checksum);
        s3_xml_close(x, "Checksum");
    }

    if ((a->mask & S3_ATTR_OBJECT_PARTS) && a->parts_count != 0) {
        s3_xml_open(x, "ObjectParts");
        s3_xml_u64(x, "PartsCount", a->parts_count);

        /* without checksums of the parts, AWS tells only how many there are */

        if (a->parts != NULL && s3_list_size(a->parts) != 0) {
            s3_xml_u64(x, "PartNumberMarker", a->part_marker);
            s3_xml_u64(x, "NextPartNumberMarker", a->next_part_marker);
            s3_xml_u64(x, "MaxParts", a->max_parts);
            s3_xml_bool(x, "IsTruncated", a->truncated);
            s3_list_emit(x, &a->parts->items);
        }

        s3_xml_close(x, "ObjectParts");
    }

    if (a->mask & S3_ATTR_STORAGE_CLASS) {
        s3_xml_class(x, a->storage_class);
    }

    if (a->mask & S3_ATTR_OBJECT_SIZE) {
        s3_xml_u64(x, "ObjectSize", a->size);
    }

    s3_xml_close(x, "GetObjectAttributesResponse");
}

#pragma GCC visibility pop
