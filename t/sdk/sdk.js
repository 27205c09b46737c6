'use strict';

/* The AWS SDK for JavaScript against $ENDPOINT: node sdk.js BUCKET */

const assert = require('assert');
const crypto = require('crypto');
const http = require('http');
const { Readable } = require('stream');
const s3 = require('@aws-sdk/client-s3');
const { Upload } = require('@aws-sdk/lib-storage');
const { getSignedUrl } = require('@aws-sdk/s3-request-presigner');

const Bucket = process.argv[2];
const client = new s3.S3Client({
    endpoint: process.env.ENDPOINT, region: 'us-east-1',
    forcePathStyle: true, maxAttempts: 1,
});

async function bytes(answer) {
    return Buffer.from(await answer.Body.transformToByteArray());
}

async function refused(promise, name, status) {
    try {
        await promise;
    } catch (error) {
        assert.strictEqual(error.name, name);
        assert.strictEqual(error.$metadata.httpStatusCode, status);
        return;
    }
    assert.fail('expected ' + name);
}

function fetchUrl(url, method, body) {
    return new Promise((resolve, reject) => {
        const request = http.request(url, { method }, response => {
            const parts = [];
            response.on('data', part => parts.push(part));
            response.on('end', () => resolve(
                [response.statusCode, Buffer.concat(parts).toString()]));
        });
        request.on('error', reject);
        request.end(body);
    });
}

async function objects() {
    for (const size of [0, 1, 5000, 300000, 3 << 20]) {
        const Body = crypto.randomBytes(size);
        await client.send(new s3.PutObjectCommand({ Bucket, Key: 'k', Body,
            Metadata: { a: 'b' }, ContentType: 'text/x' }));
        const got = await client.send(new s3.GetObjectCommand(
            { Bucket, Key: 'k' }));
        assert(Body.equals(await bytes(got)));
        assert.strictEqual(got.ContentType, 'text/x');
        assert.deepStrictEqual(got.Metadata, { a: 'b' });
    }
    await client.send(new s3.DeleteObjectCommand({ Bucket, Key: 'k' }));
    await refused(client.send(new s3.GetObjectCommand({ Bucket, Key: 'k' })),
        'NoSuchKey', 404);
    await refused(client.send(new s3.HeadObjectCommand({ Bucket, Key: 'k' })),
        'NotFound', 404);
    await refused(client.send(new s3.ListObjectsV2Command(
        { Bucket: 'no-such-bucket-abcdef' })), 'NoSuchBucket', 404);
}

async function checksums() {
    for (const ChecksumAlgorithm of ['CRC32', 'CRC32C', 'SHA1', 'SHA256']) {
        const Body = crypto.randomBytes(100000);
        const put = await client.send(new s3.PutObjectCommand(
            { Bucket, Key: 'sum', Body, ChecksumAlgorithm }));
        assert(put['Checksum' + ChecksumAlgorithm]);
        const got = await client.send(new s3.GetObjectCommand(
            { Bucket, Key: 'sum', ChecksumMode: 'ENABLED' }));
        assert(Body.equals(await bytes(got)));
        assert.strictEqual(got['Checksum' + ChecksumAlgorithm],
            put['Checksum' + ChecksumAlgorithm]);
    }
}

/* HTTP chunks around aws-chunks, the checksum in a trailer */
async function stream() {
    const whole = crypto.randomBytes(1234567);
    await client.send(new s3.PutObjectCommand({ Bucket, Key: 'stream',
        Body: Readable.from([whole.subarray(0, 600000),
            whole.subarray(600000)]),
        ContentLength: whole.length }));
    const got = await client.send(new s3.GetObjectCommand(
        { Bucket, Key: 'stream' }));
    assert(whole.equals(await bytes(got)));
}

async function multipart() {
    const part = crypto.randomBytes(5 << 20);
    const upload = new Upload({ client, partSize: 5 << 20, queueSize: 4,
        params: { Bucket, Key: 'big',
            Body: Readable.from([part, part, part.subarray(0, 77)]) } });
    await upload.done();
    const got = await client.send(new s3.GetObjectCommand(
        { Bucket, Key: 'big' }));
    assert(Buffer.concat([part, part, part.subarray(0, 77)])
        .equals(await bytes(got)));
    await client.send(new s3.CopyObjectCommand({ Bucket, Key: 'copy',
        CopySource: Bucket + '/big' }));
    const head = await client.send(new s3.HeadObjectCommand(
        { Bucket, Key: 'copy' }));
    assert.strictEqual(head.ContentLength, (10 << 20) + 77);
}

async function listing() {
    for (const Key of ['l/a', 'l/b/1', 'l/b/2', 'l/ü &<', 'm']) {
        await client.send(new s3.PutObjectCommand({ Bucket, Key,
            Body: 'x' }));
    }
    const one = await client.send(new s3.ListObjectsV2Command(
        { Bucket, Prefix: 'l/', Delimiter: '/' }));
    assert.deepStrictEqual(one.Contents.map(item => item.Key),
        ['l/a', 'l/ü &<']);
    assert.deepStrictEqual(one.CommonPrefixes, [{ Prefix: 'l/b/' }]);
    const keys = [];
    for await (const page of s3.paginateListObjectsV2(
        { client, pageSize: 2 }, { Bucket, Prefix: 'l/' })) {
        keys.push(...page.Contents.map(item => item.Key));
    }
    assert.deepStrictEqual(keys, ['l/a', 'l/b/1', 'l/b/2', 'l/ü &<']);
    const gone = await client.send(new s3.DeleteObjectsCommand({ Bucket,
        Delete: { Objects: keys.map(Key => ({ Key })) } }));
    assert.strictEqual(gone.Deleted.length, 4);
}

async function conditions() {
    await client.send(new s3.PutObjectCommand({ Bucket, Key: 'c', Body: '1',
        IfNoneMatch: '*' }));
    await refused(client.send(new s3.PutObjectCommand({ Bucket, Key: 'c',
        Body: '2', IfNoneMatch: '*' })), 'PreconditionFailed', 412);
}

async function tagging() {
    await client.send(new s3.PutObjectTaggingCommand({ Bucket, Key: 'c',
        Tagging: { TagSet: [{ Key: 'a', Value: 'b+ü:/@ c' }] } }));
    const got = await client.send(new s3.GetObjectTaggingCommand(
        { Bucket, Key: 'c' }));
    assert.deepStrictEqual(got.TagSet, [{ Key: 'a', Value: 'b+ü:/@ c' }]);
}

async function presigned() {
    const put = await getSignedUrl(client, new s3.PutObjectCommand(
        { Bucket, Key: 'p q' }), { expiresIn: 60 });
    assert.deepStrictEqual(await fetchUrl(put, 'PUT', 'hello'), [200, '']);
    const get = await getSignedUrl(client, new s3.GetObjectCommand(
        { Bucket, Key: 'p q' }), { expiresIn: 60 });
    assert.deepStrictEqual(await fetchUrl(get, 'GET'), [200, 'hello']);
}

(async () => {
    for (const test of [objects, checksums, stream, multipart, listing,
        conditions, tagging, presigned]) {
        await test();
        console.log(test.name);
    }
    console.log('ok');
})().catch(error => {
    console.error(error);
    process.exit(1);
});
