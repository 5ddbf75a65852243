-- Prints the statements that create a database like another. Variables: like, new.
SELECT format('CREATE DATABASE %I TEMPLATE template0', :'new') || coalesce(
    (SELECT format(' ENCODING %L LC_COLLATE %L LC_CTYPE %L', pg_encoding_to_char(encoding), datcollate, datctype)
        || CASE datlocprovider
            WHEN 'i' THEN format(' LOCALE_PROVIDER icu ICU_LOCALE %L', locale)
            WHEN 'b' THEN format(' LOCALE_PROVIDER builtin BUILTIN_LOCALE %L', locale)
            ELSE ' LOCALE_PROVIDER libc' END
     -- Its name until 16 was another one.
     FROM pg_database d, coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') AS locale
     WHERE datname = :'like'), '') || ';';
-- A list of names is kept quoted, one by one; everything else is one text.
SELECT format('ALTER DATABASE %I SET %I TO %s;', :'new', split_part(setting, '=', 1),
    CASE WHEN split_part(setting, '=', 1) IN ('search_path', 'temp_tablespaces', 'local_preload_libraries',
            'session_preload_libraries')
        THEN substr(setting, strpos(setting, '=') + 1)
        ELSE quote_literal(substr(setting, strpos(setting, '=') + 1)) END)
FROM pg_db_role_setting, unnest(setconfig) AS setting
WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = :'like');
