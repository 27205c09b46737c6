# Configuration that a bucket does not have, and operations that are not built.

use Test::Nginx::S3;
use Test::Nginx::Socket 'no_plan';

our %none = (cors => 'NoSuchCORSConfiguration',
             lifecycle => 'NoSuchLifecycleConfiguration',
             policy => 'NoSuchBucketPolicy',
             website => 'NoSuchWebsiteConfiguration',
             replication => 'ReplicationConfigurationNotFoundError',
             tagging => 'NoSuchTagSet',
             'object-lock' => 'ObjectLockConfigurationNotFoundError');
our @none = sort keys %none;

our %empty = (versioning => 'VersioningConfiguration',
              logging => 'BucketLoggingStatus',
              notification => 'NotificationConfiguration',
              accelerate => 'AccelerateConfiguration',
              acl => 'AccessControlPolicy',
              requestPayment => 'RequestPaymentConfiguration');
our @empty = sort keys %empty;

our @put = qw(versioning cors lifecycle policy website replication
              publicAccessBlock ownershipControls object-lock logging
              notification accelerate requestPayment encryption
              analytics&id=1 inventory&id=1 metrics&id=1
              intelligent-tiering&id=1);

our @object = (['GET', 'torrent'], ['PUT', 'retention'],
               ['PUT', 'legal-hold'], ['POST', 'restore'],
               ['POST', 'select&select-type=2']);

s3_setup();
no_shuffle();
run_tests();

__DATA__

=== TEST 1: create
--- request eval
["PUT /bucket", "PUT /bucket/k\nabc"]
--- error_code eval
[200, 200]



=== TEST 2: there is none
--- request eval
[map { "GET /bucket?$_" } @::none]
--- error_code eval
[(404) x @::none]
--- response_body_like eval
[map { "<Code>$::none{$_}</Code>" } @::none]



=== TEST 3: of no bucket
--- request eval
[map { "GET /absent?$_" } @::none, @::empty]
--- error_code eval
[(404) x (@::none + @::empty)]
--- response_body_like eval
[("<Code>NoSuchBucket</Code>") x (@::none + @::empty)]



=== TEST 4: answers that are empty
--- request eval
[map { "GET /bucket?$_" } @::empty]
--- error_code eval
[(200) x @::empty]
--- response_body_like eval
[map { "<$::empty{$_} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"" } @::empty]
--- response_body_unlike eval
[("<Status>|<Error>") x @::empty]



=== TEST 5: defaults of a new bucket: nothing is public, ACLs are off
--- request eval
["GET /bucket?publicAccessBlock", "GET /bucket?ownershipControls", "GET /bucket?policyStatus"]
--- response_body_like eval
["<BlockPublicAcls>(?i)true</BlockPublicAcls>", "<ObjectOwnership>BucketOwnerEnforced</ObjectOwnership>", "<IsPublic>(?i)false</IsPublic>"]



=== TEST 6: what is not built for a bucket says so, and changes nothing
--- request eval
[map { "PUT /bucket?$_\n<X/>" } @::put]
--- error_code eval
[(501) x @::put]
--- response_body_like eval
[("<Code>NotImplemented</Code>") x @::put]



=== TEST 7: what is not built for an object
--- request eval
[(map { "$_->[0] /bucket/k?$_->[1]" } @::object), "GET /bucket/k"]
--- error_code eval
[(501) x @::object, 200]
--- response_body_like eval
[("<Code>NotImplemented</Code>") x @::object, "^abc\$"]



=== TEST 8: locks of an object in a bucket without object lock
--- request eval
["GET /bucket/k?retention", "GET /bucket/k?legal-hold"]
--- error_code eval
[400, 400]
--- response_body_like eval
[("<Code>InvalidRequest</Code>") x 2]



=== TEST 9: methods that nobody knows
--- request eval
["POST /bucket/k", "PATCH /bucket/k", "POST /", "PUT /", "DELETE /"]
--- error_code_like eval
["^4\\d\\d\$", "^(405|501)\$", "^40[05]\$", "^40[05]\$", "^40[05]\$"]
--- response_body_like eval
[("<Error><Code>\\w+</Code>") x 5]



=== TEST 10: promises that can't be kept
--- request eval
[("PUT /bucket/sse\nx") x 3, "HEAD /bucket/sse"]
--- more_headers eval
["x-amz-server-side-encryption: aws:kms", "x-amz-object-lock-mode: GOVERNANCE\nx-amz-object-lock-retain-until-date: 2044-01-01T00:00:00Z", "x-amz-website-redirect-location: /x", ""]
--- error_code_like eval
["^501\$", "^(400|501)\$", "^(200|501)\$", "^(200|404)\$"]
