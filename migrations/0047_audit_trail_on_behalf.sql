-- In which session something was done, and for whom, if staff of the platform did it in a user's place. No event of before
-- says either, so the rows that are there are right as they are: a rebuild makes the same. A projector of an older build
-- goes on: what it does not write stays null.
alter table read.audit_trail add column session_id uuid, add column on_behalf_of uuid;
