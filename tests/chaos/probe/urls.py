"""The project's pages, and the probe's."""

from django.urls import path

from proj.urls import urlpatterns as project

from . import views

urlpatterns = [
    *project,
    path("chaos/enqueue", views.enqueue),
    path("chaos/upload", views.upload, name="chaos-upload"),
]
